// ELF images: a static x86-64 executable, its segments copied to their physical addresses. Main thread.
// What a file may contain is decided in elf-headers.ts, before the first byte of guest memory changes.

import { invalidType, refuseUnknownKeys } from '../../../shared/errors.ts';
import { GIB } from '../../../shared/units.ts';
import { planBoot, type StartRing } from './boot-state.ts';
import { parseElf } from './elf-headers.ts';
import { startRing } from './flat.ts';
import type { KvmImage } from './image.ts';
import { type ImageSource, imageSource } from './image-file.ts';

/** Node reads at most 2 GiB at once; no executable for a bare guest comes near. */
const ELF_MAX = GIB;

/** How an ELF image is started. */
export interface ElfOptions {
  /** 3: the guest starts in ring 3, with user pages and every port allowed (IOPL 3, I/O bitmap). Default 0. */
  readonly cpl?: StartRing;
}

/**
 * A static x86-64 executable (ELF64, little-endian, ET_EXEC): a path or `file:` URL, read when the image is loaded, or
 * bytes, copied now. Each PT_LOAD segment goes to its `p_paddr`, and what `p_memsz` has beyond `p_filesz` becomes zero.
 * All vCPUs start at `e_entry` in long mode, each with its own stack and its index in rdi, as a C function would get it.
 * Loading throws `ERR_IMAGE_READ` (path, errno), `ERR_IMAGE_FORMAT` (field and value) or `ERR_IMAGE_RANGE`.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`.
 */
export function elf(fileOrBytes: ImageSource, options: ElfOptions = {}): KvmImage {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['cpl'], 'elf()');
  const cpl = startRing(options.cpl, 64);
  const source = imageSource(fileOrBytes, 'fileOrBytes', ELF_MAX);
  return {
    engine: 'kvm',
    kind: 'elf',
    platform: 'bare',
    load: async ({ memory, vcpus }) => {
      const bytes = await source.read();
      const { entry, segments } = parseElf(bytes, source.name);
      const ranges = segments.map(segment => ({
        start: segment.guestAddr,
        end: segment.guestAddr + segment.memorySize,
        what: `segment ${segment.index} of ${source.name}`,
      }));
      const plan = planBoot(memory, { mode: 64, cpl, entry, vcpus, ranges });
      for (const { guestAddr, fileOffset, fileSize, memorySize } of segments) {
        if (fileSize > 0) memory.write(guestAddr, bytes.subarray(fileOffset, fileOffset + fileSize));
        if (memorySize > fileSize) memory.memset(guestAddr + fileSize, 0, memorySize - fileSize);
      }
      plan.write();
      return plan.boots;
    },
  };
}

// Flat images: bytes that are copied to an address and run from there, in real, protected or long mode. Main thread.

import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { toU64, type U64 } from '../../../shared/units.ts';
import { planBoot, type StartMode, type StartRing } from './boot-state.ts';
import type { KvmImage } from './image.ts';

/** How a flat image is placed and started. Addresses are guest physical, in bytes. */
export interface FlatOptions {
  /** Where the first byte goes. */
  readonly at: U64;
  /** The first instruction, within the image. Default: `at`. */
  readonly entry?: U64;
  /**
   * 16: real mode, `cs:ip` = entry (below 1 MiB), `ds` = `es` = `cs`, index in `di`. 32: flat protected mode without
   * paging, index in `edi`. 64: long mode, RAM and everything below 4 GiB identity-mapped, index in `rdi`.
   */
  readonly mode: StartMode;
  /** 3: the guest starts in ring 3 (mode 64 only), with user pages and every port allowed (IOPL 3, I/O bitmap). Default 0. */
  readonly cpl?: StartRing;
}

/**
 * A flat image: `bytes` (copied now) at `at`. All vCPUs start at the entry, each with its own stack and its index in
 * (r|e)di; interrupts are off, the IDT is empty. Tables and stacks take the top of the lowest RAM.
 * Loading throws `ERR_IMAGE_RANGE` when the image leaves RAM or overlaps tables and stacks.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`.
 */
export function flat(bytes: Uint8Array, options: FlatOptions): KvmImage {
  if (!(bytes instanceof Uint8Array)) throw invalidType('bytes', 'a Uint8Array', bytes);
  if (bytes.byteLength === 0) throw outOfRange('bytes.byteLength', 'at least 1', 0);
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['at', 'entry', 'mode', 'cpl'], 'flat()');
  const at = toU64(options.at, 'at');
  const entry = options.entry === undefined ? at : toU64(options.entry, 'entry');
  const end = at + bytes.byteLength;
  if (!Number.isSafeInteger(end)) throw outOfRange('at + bytes.byteLength', 'at most 2^53 - 1', end);
  if (entry < at || entry >= end)
    throw outOfRange('entry', `within the image [0x${at.toString(16)}, 0x${end.toString(16)})`, entry);
  const mode = startMode(options.mode);
  const cpl = startRing(options.cpl, mode);
  const copy = new Uint8Array(bytes);
  return {
    engine: 'kvm',
    kind: 'flat',
    platform: 'bare',
    load: async ({ memory, vcpus }) => {
      const plan = planBoot(memory, { mode, cpl, entry, vcpus, ranges: [{ start: at, end, what: 'the flat image' }] });
      memory.write(at, copy);
      plan.write();
      return plan.boots;
    },
  };
}

function startMode(mode: StartMode): StartMode {
  if (mode === 16 || mode === 32 || mode === 64) return mode;
  if (typeof mode !== 'number') throw invalidType('mode', '16, 32 or 64', mode);
  throw outOfRange('mode', '16, 32 or 64', mode);
}

/** `cpl` with its default. Ring 3 exists here in long mode only. */
export function startRing(cpl: StartRing | undefined, mode: StartMode): StartRing {
  if (cpl === undefined || cpl === 0) return 0;
  if (typeof cpl !== 'number') throw invalidType('cpl', '0 or 3', cpl);
  if (cpl !== 3) throw outOfRange('cpl', '0 or 3', cpl);
  if (mode !== 64) throw outOfRange('cpl', `0 in ${mode}-bit mode (ring 3 needs mode 64)`, cpl);
  return 3;
}

// Kernels and executables with damaged headers, for the fuzzer: refused with a coded error, or accepted with every promise kept. Pure.

import { type ElfExecutable, parseElf } from '../../../src/main/images/elf-headers.ts';
import { pvhEntry } from '../../../src/main/images/elf-notes.ts';
import { ENTRY_64, parseBzImage, SETUP_HEADER } from '../../../src/main/images/setup-header.ts';
import { elfFile } from '../../elf-image.ts';
import { BZ_CODE_OFFSET, bzImage, ELF_ADDR, elfKernel, pvhNote } from '../../linux-kernels.ts';
import type { Random } from '../random.ts';
import { damage, type Parser, promise, type Verdict } from './parser.ts';

const CODE = new Uint8Array(0x400).fill(0x90);
const NOTES = 0x200;

/** A copy: as it is, damaged in its headers, or cut; now and then noise. */
function changed(random: Random, file: Uint8Array, headers: readonly (readonly [first: number, last: number])[]) {
  if (random.oneIn(64)) return Uint8Array.from({ length: random.below(600) }, () => random.below(256));
  const bytes = new Uint8Array(file);
  const [first, last] = random.pick(headers);
  if (!random.oneIn(8)) damage(random, bytes, { first, last, near: [bytes.length, ELF_ADDR, 0x20_0000, 0x1000] });
  return random.oneIn(16) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes;
}

/** What `parse` says; coded refusals are verdicts. */
function verdict(parse: () => void): Verdict {
  try {
    parse();
    return 'accepted';
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_IMAGE_FORMAT') throw error;
    return 'refused';
  }
}

function checkExecutable({ segments, entry }: ElfExecutable, bytes: Uint8Array): void {
  const ends = segments.map(({ guestAddr, memorySize }) => guestAddr + memorySize);
  segments.forEach(({ guestAddr, memorySize, fileOffset, fileSize }, i) => {
    promise(memorySize > 0 && fileSize <= memorySize, () => `segment ${i} has ${fileSize} of ${memorySize} bytes`);
    promise(fileOffset >= 0 && fileOffset + fileSize <= bytes.length, () => `segment ${i} leaves the file`);
    promise(guestAddr >= 0 && Number.isSafeInteger(ends[i]), () => `segment ${i} is at ${guestAddr}`);
    const alone = segments.every(
      (other, j) => j === i || other.guestAddr >= (ends[i] ?? 0) || guestAddr >= (ends[j] ?? 0),
    );
    promise(alone, () => `segment ${i} overlaps`);
  });
  const inside = segments.some((each, i) => entry >= each.guestAddr && entry < (ends[i] ?? 0));
  promise(inside, () => `entry ${entry} is in no segment`);
}

/** Headers and notes of ELF files. */
export const elf: Parser = {
  name: 'ELF',
  open(random) {
    const files = [
      elfFile(CODE, {}, [{ memsz: 0x1000n }, { paddr: 0x20_0000n, memsz: 0x3000n }, { type: 4 }]),
      elfKernel(CODE, [pvhNote(BigInt(ELF_ADDR))]),
      elfKernel(CODE, [{ owner: 'GNU', type: 3, description: new Uint8Array(20) }, pvhNote(BigInt(ELF_ADDR) + 4n, 4)]),
    ];
    return {
      input: () => {
        const bytes = changed(random, random.pick(files), [
          [0, 64],
          [64, 64 + 2 * 56],
          [NOTES, NOTES + 80],
        ]);
        return verdict(() => {
          const executable = parseElf(bytes, 'file');
          checkExecutable(executable, bytes);
          const entry = pvhEntry(bytes, executable, 'file');
          if (entry !== undefined) checkExecutable({ ...executable, entry }, bytes);
        });
      },
      finish() {},
    };
  },
};

/** Setup headers of bzImages. */
export const bzImageHeader: Parser = {
  name: 'bzImage',
  open(random) {
    const file = bzImage(CODE);
    return {
      input: () => {
        const bytes = changed(random, file, [[SETUP_HEADER, 0x290]]);
        return verdict(() => {
          const { codeOffset, codeSize, loadAddr, initSize, header } = parseBzImage(bytes, 'file');
          promise(codeOffset >= BZ_CODE_OFFSET && codeOffset + codeSize <= bytes.length, () => 'code leaves the file');
          promise(codeSize > ENTRY_64 && codeSize <= initSize, () => `${codeSize} bytes of code`);
          promise(loadAddr >= 0x10_0000 && loadAddr + initSize <= 2 ** 32, () => `loaded at ${loadAddr}`);
          promise(SETUP_HEADER + header.length <= 0x290, () => `a header of ${header.length} bytes`);
        });
      },
      finish() {},
    };
  },
};

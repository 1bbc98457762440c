// What a parser of hostile bytes is to the fuzzer, and how valid bytes are damaged. Pure; every thread.

import type { Random } from '../random.ts';

/** 'accepted': the input came past the checks of its header; 'refused': it was turned down as it should be. All else is thrown. */
export type Verdict = 'accepted' | 'refused';

/** Some inputs in a row, to one object where the parser has a state. */
export interface FuzzSession {
  input(): Verdict | Promise<Verdict>;
  /** What has to hold behind the last one; gives memory back. */
  finish(): void;
}

export interface Parser {
  readonly name: string;
  /** A session is its random numbers: the same ones make the same inputs. */
  open(random: Random): FuzzSession;
}

const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 255, 256, 511, 512, 513, 4095, 4096, 4097, 0x7fff, 0x8000, 0xffff, 0x1_0000,
  0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_fffe, 0xffff_ffff,
];

/** A 32-bit number that checks are likely to get wrong, one of `near` or their neighbours, or any. */
export function oddWord(random: Random, near: readonly number[] = []): number {
  const kind = random.below(4);
  if (kind === 0) return random.next();
  if (kind === 1 && near.length > 0) return (random.pick(near) + random.below(3) - 1) >>> 0;
  return random.pick(EDGES);
}

/** Changes one to three places of [first, last): a bit, a byte, or a little-endian field of 2, 4 or 8 bytes. */
export function damage(
  random: Random,
  bytes: Uint8Array,
  { first = 0, last = bytes.length, near = [] }: { first?: number; last?: number; near?: readonly number[] } = {},
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let left = 1 + random.below(3); left > 0 && last > first; left--) {
    const at = first + random.below(last - first);
    const kind = random.below(5);
    const aligned = at - (at % 4);
    if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    else if (kind === 1) bytes[at] = random.below(256);
    else if (kind === 2 && aligned + 2 <= bytes.length) view.setUint16(aligned, oddWord(random, near) & 0xffff, true);
    else if (kind === 3 && aligned + 4 <= bytes.length) view.setUint32(aligned, oddWord(random, near), true);
    else if (aligned + 8 <= bytes.length) {
      view.setUint32(aligned, oddWord(random, near), true);
      view.setUint32(aligned + 4, random.oneIn(2) ? 0 : oddWord(random), true);
    }
  }
}

/** Fails the run: what was promised does not hold. */
export function promise(holds: boolean, what: () => string): void {
  if (!holds) throw new Error(what());
}

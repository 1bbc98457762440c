// What lies in the data before workloads read them: words whose sums can be known without reading. Main thread; pure but for the arena's memory.
// Each 64-bit word is a number between 1 and 2 as well, so that arithmetic on it is ordinary.

import type { Team } from '../workload.ts';
import { layOutOnce } from './kernel-workload.ts';

/** The upper half of each word: the exponent of numbers from 1 to 2. */
const HIGH = 0x3ff0_0000;
/** The lower half is the word's index times this, modulo 2^32: the golden ratio's, which spreads all bits. */
const SPREAD = 0x9e37_79b1;
/** So many lower halves have a sum that a double holds exactly. */
const EXACT = 1 << 20;

/** Lays the pattern into the first `bytes` of the data, unless it is there under this name. */
export function layPattern(team: Team, name: string, bytes: number): void {
  layOutOnce(team, name, () => {
    const halves = new Uint32Array(team.buffer, team.data.at, bytes / 4);
    for (let at = 0, low = 0; at < halves.length; at += 2, low = (low + SPREAD) | 0) {
      halves[at] = low;
      halves[at + 1] = HIGH;
    }
  });
}

/** The sum, modulo 2^64, of `count` words of the pattern: the first, and each `step`-th from there. */
export function patternSum(first: number, count: number, step = 1): bigint {
  let sum = BigInt(count) * (BigInt(HIGH) << 32n);
  const increment = Math.imul(step, SPREAD);
  for (let done = 0, low = Math.imul(first, SPREAD); done < count; ) {
    const end = Math.min(count, done + EXACT);
    let part = 0;
    for (; done < end; done += 1, low = (low + increment) | 0) part += low >>> 0;
    sum += BigInt(part);
  }
  return BigInt.asUintN(64, sum);
}

/** The sum, modulo 2^64, of the pattern's words at `count` indices, as `next` names them. */
export function patternSumAt(count: number, next: () => number): bigint {
  let sum = BigInt(count) * (BigInt(HIGH) << 32n);
  for (let done = 0; done < count; ) {
    const end = Math.min(count, done + EXACT);
    let part = 0;
    for (; done < end; done += 1) part += Math.imul(next(), SPREAD) >>> 0;
    sum += BigInt(part);
  }
  return BigInt.asUintN(64, sum);
}

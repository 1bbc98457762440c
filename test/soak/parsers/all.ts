// Every parser of bytes that a guest or a file brings, and a session of one, by its numbers. Every thread.

import { Random } from '../random.ts';
import { balloon, blk, console_, net, rng } from './devices.ts';
import { bzImageHeader, elf } from './images.ts';
import { ioapic } from './ioapic.ts';
import type { FuzzSession, Parser } from './parser.ts';
import { packedRing, registers, splitRing } from './rings.ts';
import { vsock } from './vsock.ts';

export const PARSERS: readonly Parser[] = [
  elf,
  bzImageHeader,
  registers,
  splitRing,
  packedRing,
  blk,
  net,
  console_,
  balloon,
  rng,
  vsock,
  ioapic,
];

/** Inputs of a session: what comes of one is seen by those behind it. */
export const SESSION_INPUTS = 256;

export function openSession(parser: Parser, seed: number, session: number): FuzzSession {
  const place = PARSERS.indexOf(parser) * 0x0100_0000 + session;
  return parser.open(new Random(seed ^ Math.imul(place + 1, 0x9e37_79b1)));
}

/** Runs a session of `inputs`; returns how many were accepted. */
export async function runSession(parser: Parser, seed: number, session: number, inputs: number): Promise<number> {
  const fuzzed = openSession(parser, seed, session);
  let accepted = 0;
  for (let left = inputs; left > 0; left--) {
    const verdict = fuzzed.input();
    if ((typeof verdict === 'string' ? verdict : await verdict) === 'accepted') accepted += 1;
  }
  fuzzed.finish();
  return accepted;
}

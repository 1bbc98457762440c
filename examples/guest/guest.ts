// The host's view of the freestanding guest: the same numbers and layouts as in guest.h. Any thread.

import { type InputOf, padding, struct, u32le, u64le } from 'node-kvm';

/** Bits of Params.command; the guest does them in this order. */
export const COMMAND = { print: 1, count: 2, dirty: 4, doorbell: 8, exits: 16 } as const;

export const PORT = { console: 0xe9, exit: 0x600, power: 0x604 } as const;
export const POWER_OFF = 0x2000;
export const DOORBELL_ADDRESS = 0xd000_0000;

export const PARAMS_ADDRESS = 0x1_0000;
export const Params = struct({
  command: u32le,
  participants: u32le,
  arrived: u32le,
  running: u32le,
  counter: u64le,
  iterations: u32le,
  areaPages: u32le,
  area: u64le,
  dirtyCount: u32le,
  seed: u32le,
  rings: u32le,
  answer: u32le,
  exits: u32le,
  reserved: padding(4),
});
/** What the host fills in. Addresses are plain numbers here. */
export type InputParams = Omit<InputOf<typeof Params>, 'counter' | 'area'> & {
  readonly counter: number;
  readonly area: number;
};
/** Addresses of the words of Params that several sides use while the guest runs. */
export const ARRIVED_ADDRESS = PARAMS_ADDRESS + 8;
export const ANSWER_ADDRESS = PARAMS_ADDRESS + 52;

const REPORTS_ADDRESS = 0x1_1000;
export const Report = struct({
  done: u32le,
  ring: u32le,
  counted: u32le,
  dirtied: u32le,
  exitCycles: u64le,
  ringCycles: u64le,
  reserved: padding(32),
});
export const reportAddress = (vcpu: number) => REPORTS_ADDRESS + vcpu * Report.size;

/** The page numbers that vCPU `vcpu` writes to, in order, repetitions included. */
export function dirtySequence(
  params: { readonly seed: number; readonly areaPages: number; readonly dirtyCount: number },
  vcpu: number,
): number[] {
  let state = (params.seed + vcpu) >>> 0;
  return Array.from({ length: params.dirtyCount }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % params.areaPages;
  });
}

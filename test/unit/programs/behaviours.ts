// A program of the host engine that does what its data says. Runs on vCPU threads.

import { type ProgramContext, u32le } from 'node-kvm';

export interface Order {
  readonly act:
    | 'return'
    | 'halt'
    | 'throw'
    | 'checkpoints'
    | 'spin'
    | 'await'
    | 'swallow'
    | 'devices'
    | 'count'
    | 'bad-port';
}

const COUNTER = 0x1000;

export async function run(context: ProgramContext): Promise<void> {
  const { act } = context.data as Order;
  switch (act) {
    case 'return':
      return;
    case 'halt':
      context.halt();
      break;
    case 'throw':
      throw new RangeError(`vCPU ${context.vcpu} of ${context.vcpus}`);
    case 'checkpoints':
      for (;;) {
        context.memory.atomics.add(COUNTER + 4 * context.vcpu, u32le, 1);
        context.checkpoint();
      }
    case 'spin':
      for (;;) context.memory.atomics.add(COUNTER, u32le, 1);
    case 'await':
      return await new Promise(resolve => setTimeout(resolve, 1_000_000));
    case 'swallow':
      for (;;) swallow(context);
    case 'devices':
      return useDevices(context);
    case 'count':
      for (let i = 0; i < 1000; i++) context.out(0x10, 1, i);
      return;
    case 'bad-port':
      context.out(0x10000, 1, 0);
  }
}

/** A program that catches everything, its own unwinding too. */
function swallow(context: ProgramContext): void {
  try {
    context.out(0x10, 1, 1);
  } catch {
    // On purpose.
  }
}

/** Every size in both directions; what was read goes to memory. */
function useDevices(context: ProgramContext): void {
  for (const size of [1, 2, 4]) context.out(0x10, size, 0x89abcdef % 2 ** (8 * size));
  for (const size of [1, 2, 4, 8])
    context.mmioWrite(0xd000_0000n, size, 0x0123_4567_89ab_cdefn & ((1n << BigInt(8 * size)) - 1n));
  const read = [1, 2, 4].map(size => context.in(0x10, size));
  const mmio = [1, 2, 4, 8].map(size => BigInt(context.mmioRead(0xd000_0000, size)));
  const nobody = [context.in(0x999, 2), context.mmioRead(0xe000_0000, 8)];
  const values = new BigUint64Array([...read.map(BigInt), ...mmio, ...nobody.map(BigInt)]);
  context.memory.write(COUNTER, new Uint8Array(values.buffer));
}

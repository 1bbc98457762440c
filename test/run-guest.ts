// What most tests of a machine do: a device that writes down what the guest did to it, and a flat guest run to its end on
// the KVM engine. Main thread. Uses the public API only.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Device, flat, VirtualMachine } from 'node-kvm';
import { slowness } from './slowness.ts';

type CreateOptions = Parameters<typeof VirtualMachine.create>[0];
export type Result = Awaited<VirtualMachine['finished']>;

/** One access, as the device saw it. */
export interface Access {
  readonly op: 'read' | 'write';
  readonly offset: number;
  readonly size: number;
  readonly value: number | bigint;
}

export interface Recorder {
  readonly device: Device;
  readonly accesses: Access[];
  /** The values that were written, in order. */
  readonly written: (number | bigint)[];
}

/** A device that records every access, and answers reads with what `answer` gives (default 0). */
export function recorder(
  ranges: Pick<Device, 'pio' | 'mmio'>,
  answer: (offset: number, size: number) => number | bigint = () => 0,
): Recorder {
  const accesses: Access[] = [];
  const written: (number | bigint)[] = [];
  const device: Device = {
    name: 'recorder',
    ...ranges,
    read(offset, size) {
      const value = answer(offset, size);
      accesses.push({ op: 'read', offset, size, value });
      return value;
    },
    write(offset, size, value) {
      accesses.push({ op: 'write', offset, size, value });
      written.push(value);
    },
  };
  return { device, accesses, written };
}

export interface GuestOptions extends Partial<CreateOptions> {
  readonly mode: 16 | 32 | 64;
  readonly cpl?: 0 | 3;
  /** Where the code goes. */
  readonly at?: number;
  /** Called when the guest is in memory and has not started. */
  onLoaded?(vm: VirtualMachine): void;
}

/** Where flat guests of the tests are loaded unless they say otherwise. */
export const CODE = 0x8000;

/** A write to this port stops the machine (reason 'stopped'): how a guest ends at ring 3, where HLT is forbidden. */
export const END = 0xf0;

/** A machine with the guest loaded and not yet started. 4 MiB and one vCPU unless `options` says otherwise. */
export async function loadGuest(bytes: Uint8Array, options: GuestOptions): Promise<VirtualMachine> {
  const { mode, cpl = 0, at = CODE, onLoaded, devices = [], ...create } = options;
  let stop = () => {};
  const end: Device = { name: 'end', pio: { base: END, length: 4 }, write: () => stop() };
  const vm = await VirtualMachine.create({
    memory: 4 << 20,
    vcpus: 1,
    engine: 'kvm',
    devices: [...devices, end],
    ...create,
  });
  // A handler may ask for the stop but must not wait for it: its own vCPU waits for the handler.
  stop = () => void vm.stop();
  try {
    await vm.load(flat(bytes, { at, mode, cpl }));
    onLoaded?.(vm);
    return vm;
  } catch (error) {
    await vm[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs a guest until its machine has finished; `inspect` sees the machine before it is disposed of. */
export async function runGuest(
  bytes: Uint8Array,
  options: GuestOptions,
  inspect: (vm: VirtualMachine) => void | Promise<void> = () => {},
): Promise<Result> {
  await using vm = await loadGuest(bytes, options);
  await vm.start();
  const result = await vm.finished;
  await inspect(vm);
  return result;
}

/** Little-endian 32-bit words that a guest has left at `addr`. */
export function words32(vm: VirtualMachine, addr: number, count: number): number[] {
  const bytes = new Uint8Array(count * 4);
  vm.memory.read(addr, bytes);
  return Array.from(new Uint32Array(bytes.buffer));
}

/** Resolves when `condition` holds; fails after ten seconds and says what it waited for. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const limit = performance.now() + 10_000 * slowness;
  while (!condition()) {
    if (performance.now() > limit) throw new Error(`waited ten seconds in vain: ${what}`);
    await sleep(1);
  }
}

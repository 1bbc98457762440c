// Runs the behaviours program on the host engine. Tests only.

import { type Device, program, VirtualMachine, type VirtualMachineOptions, type VmResult } from 'node-kvm';
import type { Order } from './programs/behaviours.ts';

export const behaviours = new URL('./programs/behaviours.js', import.meta.url);

/** A VM with the program loaded, two vCPUs unless told otherwise. */
export async function loadProgram(
  act: Order['act'],
  options: Partial<VirtualMachineOptions> = {},
): Promise<VirtualMachine> {
  const vm = await VirtualMachine.create({ memory: 1 << 20, vcpus: 2, engine: 'host', ...options });
  await vm.load(program(behaviours, { act } satisfies Order));
  return vm;
}

/** From start to end. */
export async function runProgram(act: Order['act'], options: Partial<VirtualMachineOptions> = {}): Promise<VmResult> {
  await using vm = await loadProgram(act, options);
  await vm.start();
  return await vm.finished;
}

/** A device that notes what is written to it, and reads as `value`. */
export function notebook(
  range: Pick<Device, 'pio' | 'mmio'>,
  value: number | bigint,
): { device: Device; written: unknown[] } {
  const written: unknown[] = [];
  const device: Device = {
    name: range.pio === undefined ? 'mmio notebook' : 'pio notebook',
    ...range,
    read: () => value,
    write: (offset, size, given) => {
      written.push([offset, size, given]);
    },
  };
  return { device, written };
}

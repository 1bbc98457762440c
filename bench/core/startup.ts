// From VirtualMachine.create to the guest's first exit on a warm pool, against C doing the same ioctls with a fresh thread.
// Main thread.

import { setTimeout } from 'node:timers/promises';
import { VcpuPool, VirtualMachine } from 'node-kvm';
import type { Baseline } from './baseline.ts';
import { gateDevice, guestFailure, guestImage } from './exits.ts';
import { Gate, type GuestMode, guestCodeHex } from './guest.ts';
import type { Measure, Part } from './rounds.ts';

export const VM_MEMORY = 64 << 20;

/** Between two VMs: a thread that goes back to the pool first collects what the VM left, and is warm when it has. */
const REST_MS = 50;

export interface StartedVm {
  /** From before create() to the guest's first exit. */
  readonly nanoseconds: number;
  close(): Promise<void>;
}

/** A VM whose guest has come to its gate and sleeps there. */
export async function startVm(mode: GuestMode, pool: VcpuPool): Promise<StartedVm> {
  const gate = new Gate();
  const start = Number(process.hrtime.bigint());
  const vm = await VirtualMachine.create({
    memory: VM_MEMORY,
    vcpus: 1,
    engine: 'kvm',
    devices: [gateDevice(gate)],
    pool,
  });
  await vm.load(guestImage(mode));
  await vm.start();
  const nanoseconds = (await Promise.race([gate.arrived(), guestFailure(vm)])) - start;
  return {
    nanoseconds,
    async close() {
      gate.open();
      await vm[Symbol.asyncDispose]();
    },
  };
}

/** Opens a pool of one warm worker. */
export async function openStartup(baseline: Baseline, quick: boolean): Promise<Part> {
  const pool = new VcpuPool({ threads: 1 });
  await pool.ready();
  const measure = (mode: GuestMode): Measure => ({
    group: 'VM create to first exit',
    name: `${mode === 64 ? 'long mode, ring 3' : 'real mode'}, 64 MiB, warm pool`,
    unit: 'ns',
    goal: { value: 3e6 },
    rounds: quick ? 10 : 60,
    warmup: quick ? 3 : 10,
    async ours() {
      await setTimeout(REST_MS);
      const vm = await startVm(mode, pool);
      await vm.close();
      return vm.nanoseconds;
    },
    theirs: async () => (await baseline.run('start-vm', VM_MEMORY, mode, guestCodeHex(mode))).nanoseconds,
  });
  return {
    measures: [measure(64), measure(16)],
    async [Symbol.asyncDispose]() {
      await pool[Symbol.asyncDispose]();
    },
  };
}

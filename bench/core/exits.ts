// Exits: what a round trip guest → device → guest costs, with the device on the vCPU's own thread, on the main thread and on
// the I/O worker, against a bare KVM_RUN loop in C with its handler on the same thread or on another. Main thread.

import { type Device, type DeviceSpec, deviceModule, flat, VirtualMachine } from 'node-kvm';
import type { Baseline } from './baseline.ts';
import { CODE_ADDRESS, DATA_PORT, GATE_PORT, Gate, type GuestMode, guestCode, guestCodeHex } from './guest.ts';
import type { Goal, Measure, Part } from './rounds.ts';

const MEMORY = 4 << 20;

/** A guest that sleeps in its gate, and how its exits are timed. */
interface ExitLoop extends AsyncDisposable {
  run(count: number): Promise<number>;
}

type Place = 'vcpu' | 'main' | 'io';

/** The gate's device, on the vCPU's own thread. */
export function gateDevice(gate: Gate): DeviceSpec {
  const url = new URL('core/gate-device.js', import.meta.url);
  return deviceModule(url, { name: 'gate', pio: { base: GATE_PORT, length: 4 }, where: 'vcpu', state: gate.state });
}

export function guestImage(mode: GuestMode) {
  return flat(guestCode(mode), mode === 64 ? { at: CODE_ADDRESS, mode, cpl: 3 } : { at: CODE_ADDRESS, mode });
}

/** Rejects when the guest ends. One that fails never reaches its gate: then the failure is the answer. */
export function guestFailure(vm: VirtualMachine): Promise<never> {
  const failed = vm.finished.then(result => {
    throw new Error(`the guest ended: ${result.reason}`, { cause: result.error });
  });
  // It also ends when it is stopped; nobody waits for it then.
  failed.catch(() => {});
  return failed;
}

function countDevice(gate: Gate, place: Place): Device | DeviceSpec {
  const pio = { base: DATA_PORT, length: 1 };
  if (place === 'main') return { name: 'count', pio, write: () => gate.count() };
  return deviceModule(new URL('core/count-device.js', import.meta.url), {
    name: 'count',
    pio,
    where: place,
    state: gate.state,
  });
}

async function openLoop(mode: GuestMode, place: Place): Promise<ExitLoop> {
  const gate = new Gate();
  const vm = await VirtualMachine.create({
    memory: MEMORY,
    vcpus: 1,
    engine: 'kvm',
    devices: [gateDevice(gate), countDevice(gate, place)],
  });
  await vm.load(guestImage(mode));
  await vm.start();
  const failed = guestFailure(vm);
  await Promise.race([gate.arrived(), failed]);
  return {
    run: count => Promise.race([gate.round(count), failed]),
    async [Symbol.asyncDispose]() {
      gate.open();
      await vm[Symbol.asyncDispose]();
    },
  };
}

/** Opens the guests of both sides; they sleep between rounds. */
export async function openExits(baseline: Baseline, quick: boolean): Promise<Part> {
  const loops: ExitLoop[] = [];
  const measures: Measure[] = [];
  const add = async (group: string, place: Place, mode: GuestMode, count: number, goal?: Goal) => {
    const loop = await openLoop(mode, place);
    loops.push(loop);
    const name = `${mode}-${place}`;
    await baseline.run('exits-open', name, mode, place === 'vcpu' ? 'own' : 'other', guestCodeHex(mode));
    const where = { vcpu: "vCPU's thread", main: 'main thread', io: 'I/O worker' }[place];
    const code = mode === 64 ? 'long mode, ring 3' : 'real mode';
    measures.push({
      group,
      name: `${code}, device on ${where}`,
      unit: 'ns',
      rounds: quick ? 40 : 300,
      warmup: quick ? 20 : 50,
      ...(goal === undefined ? {} : { goal }),
      ours: async () => (await loop.run(count)) / count,
      theirs: async () => (await baseline.run('exits-run', name, count)).nanoseconds / count,
    });
  };
  await add('exit round trip', 'vcpu', 16, 200, { ratio: 1.05 });
  await add('exit round trip', 'vcpu', 64, 100, { ratio: 1.05 });
  await add('exit handed to another thread', 'main', 16, 50);
  await add('exit handed to another thread', 'io', 16, 50);
  await add('exit handed to another thread', 'main', 64, 30);
  await add('exit handed to another thread', 'io', 64, 30);
  return {
    measures,
    async [Symbol.asyncDispose]() {
      for (const loop of loops) await loop[Symbol.asyncDispose]();
    },
  };
}

// Exit storm: how many exits per second a machine's vCPUs make, by the kind of exit and the thread that its device lives on. Main thread.

import type { Device, DeviceSpec } from '../../../../shared/device.ts';
import { STATE, STATE_BYTES, STORM_MMIO, STORM_PORTS } from '../../../../shared/lab/storm.ts';
import { deviceModule } from '../../devices/device-module.ts';
import { guestCounts, requireResult } from '../machines/guest-mixes.ts';
import { labDevice, StormMachine } from '../machines/storm-machine.ts';
import type { LabContext, OpenVariant, Variant, Workload } from '../workload.ts';

interface ExitCase {
  readonly exit: 'pio' | 'mmio';
  readonly device: 'vcpu' | 'io' | 'main';
  readonly inQuick: boolean;
}

const CASES: readonly ExitCase[] = [
  { exit: 'pio', device: 'vcpu', inQuick: true },
  { exit: 'mmio', device: 'vcpu', inQuick: false },
  { exit: 'pio', device: 'io', inQuick: false },
  { exit: 'pio', device: 'main', inQuick: true },
];

/** Exits of each vCPU in a repetition of scale 1. */
const EXITS = 50;

export const exitStorm: Workload = {
  suite: 'exits',
  name: 'storm',
  title: 'exits per second of 1 to N vCPUs, by port and by MMIO, with the device on different threads',
  model:
    'Each vCPU writes to a device without a pause; the device counts. One exit is: leaving the guest, the kernel returning from KVM_RUN, decoding and ' +
    "dispatching in JavaScript, the handler, and the way back. With the device on the vCPU's own thread nothing is shared and the rate should grow with the " +
    'vCPUs, up to the number of CPUs; on the I/O worker or the main thread each exit also wakes two threads, and one thread serves all vCPUs. ' +
    'The baseline is a loop of C that counts exits itself or, where the device lives on another thread, hands each one to a second thread by futexes. ' +
    'Most of it is the cost of the exit itself, which differs by more than a factor of ten between kinds of KVM: compare machines of one kind only.',
  kinds: ['guest'],
  needsKvm: true,
  variants: context =>
    guestCounts(context.scenario).flatMap(count =>
      CASES.filter(({ inQuick }) => inQuick || !context.scenario.quick).map(each => exitVariant(context, count, each)),
    ),
};

function exitVariant(context: LabContext, count: number, { exit, device }: ExitCase): Variant {
  return {
    suite: 'exits',
    workload: 'storm',
    actors: `guest:${count}`,
    count,
    parameters: { exit, device },
    unit: 'Mops/s',
    better: 'higher',
    open: async () =>
      repeating(
        await StormMachine.open({ vcpus: count, cpus: context.cpus, devices: state => [sink(state, exit, device)] }),
        count,
        exit,
      ),
    openBaseline: async () => {
      const served = device !== 'vcpu';
      const { machine } = await StormMachine.openBare({ vcpus: count, cpus: context.cpus, served });
      return repeating(machine, count, exit);
    },
  };
}

function repeating(machine: StormMachine, vcpus: number, exit: 'pio' | 'mmio'): OpenVariant {
  let lastNs = 0;
  return {
    get lastNs() {
      return lastNs;
    },
    async repeat(scale) {
      const count = EXITS * Math.ceil(scale);
      const before = machine.counted();
      lastNs = await machine.run(() => ({ kind: exit, count }));
      machine.counted().forEach((counted, vcpu) => {
        const seen = (counted - (before[vcpu] ?? 0)) >>> 0;
        requireResult(seen === count, () => `vCPU ${vcpu} made ${count} exits and its device saw ${seen}`);
      });
      return { value: (vcpus * count * 1e3) / lastNs };
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

/** The device that the guest writes to: it counts. */
function sink(state: SharedArrayBuffer, exit: 'pio' | 'mmio', where: 'vcpu' | 'io' | 'main'): Device | DeviceSpec {
  const range =
    exit === 'pio' ? { pio: { base: STORM_PORTS.SINK, length: 4 } } : { mmio: { base: STORM_MMIO, length: 4 } };
  if (where !== 'main') return deviceModule(labDevice('storm-sink'), { name: 'sink', ...range, where, state });
  const words = new Int32Array(state);
  return {
    name: 'sink',
    ...range,
    write(_offset, _size, _value, { vcpu }) {
      const index = (vcpu * STATE_BYTES) / 4 + STATE.COUNTED;
      words[index] = (words[index] ?? 0) + 1;
    },
  };
}

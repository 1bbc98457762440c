// The virtual machine of the main job and its devices: two on the main thread, two on the vCPUs' own threads.

import { deviceModule, powerDevices, VirtualMachine } from 'node-kvm';
import { EXIT_WORDS } from '../guest/devices.ts';
import { DOORBELL_ADDRESS, PORT } from '../guest/guest.ts';

export interface Machine {
  readonly vm: VirtualMachine;
  /** The word that holds the number of the last ring. */
  readonly bell: SharedArrayBuffer;
  /** EXIT_WORDS of each vCPU. */
  readonly exitWords: Float64Array;
  /** What the guest has printed so far. */
  readonly printed: () => string;
}

/** `modules` is the URL of the compiled guest/devices.ts. */
export async function createMachine(vcpus: number, modules: URL): Promise<Machine> {
  const bell = new SharedArrayBuffer(4);
  const exitState = new SharedArrayBuffer(vcpus * EXIT_WORDS.stride * 8);
  let text = '';
  const vm = await VirtualMachine.create({
    memory: 64 << 20,
    vcpus,
    dirtyTracking: true,
    deadlineMs: 60_000,
    devices: [
      {
        name: 'console',
        pio: { base: PORT.console, length: 1 },
        write: (_offset, _size, byte) => {
          text += String.fromCharCode(Number(byte));
        },
      },
      ...powerDevices(),
      deviceModule(modules, { name: 'exits', pio: { base: PORT.exit, length: 4 }, where: 'vcpu', state: exitState }),
      deviceModule(modules, {
        name: 'doorbell',
        mmio: { base: DOORBELL_ADDRESS, length: 4096 },
        where: 'vcpu',
        state: bell,
      }),
    ],
  });
  return { vm, bell, exitWords: new Float64Array(exitState), printed: () => text };
}

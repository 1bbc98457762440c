// The vCPU worker's entry: one long piscina task per vCPU, which offers the vCPU on the port it was given and ends when the vCPU
// is closed. Pool thread. The engines are in kvm-vcpu.ts and host-vcpu.ts.

import { type MessagePort, threadId } from 'node:worker_threads';
import { expose, transferHandlers } from 'comlink';
import { comlinkEndpoint, keepErrorsWhole } from '../../shared/comlink-endpoint.ts';
import type { VcpuTask } from '../../shared/protocol.ts';
import { keepBusy, letGo } from './collect.ts';
import { HostVcpu } from './host-vcpu.ts';
import { KvmVcpu } from './kvm-vcpu.ts';

keepErrorsWhole(transferHandlers);

/** The task. Piscina calls it by name. */
export async function vcpu(task: VcpuTask<MessagePort>): Promise<void> {
  keepBusy();
  const ramBytes = task.memory.regions.reduce((sum, { size }) => sum + size, 0);
  await new Promise<void>(resolve => {
    const Engine = task.engine === 'kvm' ? KvmVcpu : HostVcpu;
    expose(new Engine(task, threadId, resolve), comlinkEndpoint(task.port));
  });
  // The answer to close() is on its way; a closed port still delivers what was posted before.
  setImmediate(() => {
    task.port.close();
    letGo(ramBytes);
  });
}

/** Does nothing on a thread that has come this far: it has loaded this module. */
export function warmUp(): void {}

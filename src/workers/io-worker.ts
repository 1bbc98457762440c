// The I/O worker: one per VM that has device modules with where: 'io', or virtio devices. Serves the exits that vCPUs hand over to it.
// Its own thread.
//
//   opening virtio devices ─ 'opened' → idle ─ serve → serving exits ─ end → closing → the thread ends
//                                                       pause ⇄ resume

import { parentPort, workerData } from 'node:worker_threads';
import { IO_DOORBELL, MAILBOX_IO } from '../../shared/control-block.ts';
import { DeviceTable } from '../../shared/device-table.ts';
import { ExitServer } from '../../shared/exit-server.ts';
import { IoDispatch } from '../../shared/io-dispatch.ts';
import type { IoServing, IoWorkerData, IoWorkerMessage, IoWorkerRequest } from '../../shared/protocol.ts';
import { toWire } from '../../shared/wire-error.ts';
import { attachMemory } from './attach-memory.ts';
import { loadDeviceModules } from './device-modules.ts';
import { VirtioHost } from './virtio-host.ts';

// SAFETY: only src/main/vm/io-thread.ts starts this file, and with exactly this.
const data = workerData as IoWorkerData;
const memory = attachMemory(data.memory);
let server: ExitServer | undefined;

function report(message: IoWorkerMessage): void {
  parentPort?.postMessage(message);
}

async function serve({ devices, runBuffers }: IoServing, virtio: VirtioHost): Promise<ExitServer> {
  const modules = await loadDeviceModules(devices, 'io', -1, memory);
  const handlers = devices.entries.map((entry, index) =>
    entry.virtio === undefined ? modules[index] : virtio.registers(entry.virtio),
  );
  const table = new DeviceTable(devices);
  const dispatches = runBuffers.map(
    (buffer, vcpu) =>
      new IoDispatch(new DataView(buffer), table, handlers, {
        vcpu,
        end: reason => report({ type: 'end', vcpu, reason }),
      }),
  );
  return new ExitServer({
    control: new Int32Array(data.control),
    vcpus: data.vcpus,
    doorbell: IO_DOORBELL,
    mailbox: MAILBOX_IO,
    dispatch(vcpu) {
      const dispatch = dispatches[vcpu];
      if (dispatch === undefined) throw new RangeError(`no vCPU ${vcpu}`);
      return dispatch;
    },
    onError: (vcpu, error) => report({ type: 'error', vcpu, error: toWire(error) }),
  });
}

async function handle(request: IoWorkerRequest, virtio: VirtioHost): Promise<void> {
  switch (request.type) {
    case 'serve':
      server = await serve(request, virtio);
      break;
    case 'pause':
      await virtio.pause();
      break;
    case 'resume':
      virtio.resume();
      break;
    case 'end':
      server?.stop();
      await virtio.close();
      // Nothing that this thread waits for is left: it ends by itself.
      parentPort?.close();
      return;
  }
  report({ type: 'done' });
}

try {
  const virtio = await VirtioHost.open(data.virtio, memory, {
    error: error => report({ type: 'error', vcpu: undefined, error: toWire(error) }),
    fault: (device, reason) => report({ type: 'fault', device, reason }),
  });
  parentPort?.on('message', (request: IoWorkerRequest) => {
    handle(request, virtio).catch((error: unknown) => report({ type: 'failed', error: toWire(error) }));
  });
  report({ type: 'opened', virtio: virtio.events });
} catch (error) {
  report({ type: 'failed', error: toWire(error) });
}

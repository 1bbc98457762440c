// The I/O worker: one per VM that has device modules with where: 'io'. Serves the exits that vCPUs hand over to it. Its own thread.

import { parentPort, workerData } from 'node:worker_threads';
import { IO_DOORBELL, MAILBOX_IO } from '../../shared/control-block.ts';
import { DeviceTable } from '../../shared/device-table.ts';
import { ExitServer } from '../../shared/exit-server.ts';
import { IoDispatch } from '../../shared/io-dispatch.ts';
import type { IoWorkerData, IoWorkerMessage } from '../../shared/protocol.ts';
import { toWire } from '../../shared/wire-error.ts';
import { attachMemory } from './attach-memory.ts';
import { loadDeviceModules } from './device-modules.ts';

// SAFETY: only src/main/vm/io-thread.ts starts this file, and with exactly this.
const data = workerData as IoWorkerData;

function report(message: IoWorkerMessage): void {
  parentPort?.postMessage(message);
}

async function start(): Promise<ExitServer> {
  const handlers = await loadDeviceModules(data.devices, 'io', -1, attachMemory(data.memory));
  const table = new DeviceTable(data.devices);
  const dispatches = data.runBuffers.map(
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

try {
  const server = await start();
  // Any message asks us to end; without a listener and a pending wait the thread then ends by itself.
  parentPort?.once('message', () => {
    server.stop();
    parentPort?.close();
  });
  report({ type: 'ready' });
} catch (error) {
  report({ type: 'failed', error: toWire(error) });
}

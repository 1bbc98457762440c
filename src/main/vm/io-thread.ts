// Starts and ends a VM's I/O worker, and passes on what it reports. Main thread.

import { Worker } from 'node:worker_threads';
import type { EndRequest } from '../../../shared/device.ts';
import { HypervisorError, messageOf } from '../../../shared/errors.ts';
import type { IoWorkerData, IoWorkerMessage } from '../../../shared/protocol.ts';
import { fromWire } from '../../../shared/wire-error.ts';
import { workerFile } from './worker-file.ts';

export interface IoThreadEvents {
  error(error: unknown, vcpu: number | undefined): void;
  end(reason: EndRequest, vcpu: number): void;
}

/** A device's endless loop must not keep dispose() waiting. */
const GRACE_MS = 200;

export class IoThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #closing = false;

  /** Resolves when all its devices are there; rejects with their error, or when the thread ends before. */
  readonly ready: Promise<void>;

  /** Starts the thread at once. Every IoThread must be closed. */
  constructor(data: IoWorkerData, events: IoThreadEvents) {
    const worker = new Worker(workerFile('io-worker'), { workerData: data, name: 'node-kvm io' });
    this.#worker = worker;
    this.ready = new Promise((resolve, reject) => {
      worker.on('message', (message: IoWorkerMessage) => {
        if (message.type === 'ready') {
          // Vcpus that run keep the process alive, not their devices.
          worker.unref();
          resolve();
        } else if (message.type === 'failed') {
          // It ends now, and has said why.
          this.#closing = true;
          reject(fromWire(message.error));
        }
      });
      worker.once('error', reject);
      worker.once('exit', () =>
        reject(
          this.#closing
            ? new HypervisorError('ERR_STATE', 'the VM ended before its I/O worker had started')
            : new HypervisorError('ERR_DEVICE_HANDLER', 'the I/O worker ended before its devices were there'),
        ),
      );
    });
    this.#exited = new Promise(resolve => {
      worker.once('exit', () => {
        resolve();
        if (!this.#closing)
          events.error(
            new HypervisorError('ERR_DEVICE_HANDLER', 'the I/O worker ended while the VM was using it'),
            undefined,
          );
      });
    });
    // An uncaught error is followed by 'exit', which reports it.
    worker.on('error', cause =>
      events.error(
        new HypervisorError('ERR_DEVICE_HANDLER', `the I/O worker died: ${messageOf(cause)}`, { cause }),
        undefined,
      ),
    );
    worker.on('message', (message: IoWorkerMessage) => {
      if (message.type === 'error') events.error(fromWire(message.error), message.vcpu);
      else if (message.type === 'end') events.end(message.reason, message.vcpu);
    });
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#worker.ref();
    this.#worker.postMessage('end');
    const timer = setTimeout(() => void this.#worker.terminate(), GRACE_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

// Starts and ends a VM's I/O worker, and passes on what it reports. Main thread.

import { Worker } from 'node:worker_threads';
import type { EndRequest } from '../../../shared/device.ts';
import { HypervisorError } from '../../../shared/errors.ts';
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

  private constructor(data: IoWorkerData, events: IoThreadEvents) {
    this.#worker = new Worker(workerFile('io-worker'), { workerData: data, name: 'node-kvm io' });
    this.#exited = new Promise(resolve => {
      this.#worker.once('exit', () => {
        resolve();
        if (!this.#closing)
          events.error(
            new HypervisorError('ERR_DEVICE_HANDLER', 'the I/O worker ended while the VM was using it'),
            undefined,
          );
      });
    });
    // An uncaught error is followed by 'exit', which reports it.
    this.#worker.on('error', cause =>
      events.error(
        new HypervisorError('ERR_DEVICE_HANDLER', `the I/O worker died: ${String(cause)}`, { cause }),
        undefined,
      ),
    );
    this.#worker.on('message', (message: IoWorkerMessage) => {
      if (message.type === 'error') events.error(fromWire(message.error), message.vcpu);
      else if (message.type === 'end') events.end(message.reason, message.vcpu);
    });
  }

  /** Resolves when all its devices are there; rejects with their error, and no thread stays. */
  static async start(data: IoWorkerData, events: IoThreadEvents): Promise<IoThread> {
    const thread = new IoThread(data, events);
    try {
      await new Promise<void>((resolve, reject) => {
        thread.#worker.on('message', (message: IoWorkerMessage) => {
          if (message.type === 'ready') resolve();
          else if (message.type === 'failed') reject(fromWire(message.error));
        });
        thread.#worker.once('error', reject);
      });
    } catch (error) {
      await thread.close();
      throw error;
    }
    // Vcpus that run keep the process alive, not their devices.
    thread.#worker.unref();
    return thread;
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

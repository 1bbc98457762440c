// Starts and ends a VM's I/O worker, asks it for things, and passes on what it reports. Main thread.

import { type Transferable, Worker } from 'node:worker_threads';
import type { EndRequest } from '../../../shared/device.ts';
import { HypervisorError, invalidType, messageOf } from '../../../shared/errors.ts';
import type { IoServing, IoWorkerData, IoWorkerMessage, IoWorkerRequest } from '../../../shared/protocol.ts';
import type { VirtioEvents } from '../../../shared/virtio/module.ts';
import { fromWire } from '../../../shared/wire-error.ts';
import { workerFile } from './worker-file.ts';

export interface IoThreadEvents {
  error(error: unknown, vcpu: number | undefined): void;
  fault(device: string, reason: string): void;
  end(reason: EndRequest, vcpu: number): void;
}

/** A device's endless loop must not keep dispose() waiting. */
const GRACE_MS = 200;

/** Whoever waits for an answer. */
interface Waiting {
  resolve(virtio: readonly VirtioEvents[]): void;
  reject(error: unknown): void;
}

export class IoThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #waiting: Waiting[] = [];
  #closing = false;
  #gone = false;

  /** Resolves when all its virtio devices are there; rejects with their error, or when the thread ends before. */
  readonly opened: Promise<readonly VirtioEvents[]>;

  /** Starts the thread at once. Every IoThread must be closed. @throws TypeError for data that cannot be cloned, or was transferred already */
  constructor(data: IoWorkerData, transfer: readonly object[], events: IoThreadEvents) {
    const worker = startWorker(data, transfer);
    this.#worker = worker;
    this.opened = this.#answer();
    worker.on('message', (message: IoWorkerMessage) => this.#hear(message, events));
    this.#exited = new Promise(resolve => {
      worker.once('exit', () => {
        this.#gone = true;
        resolve();
        this.#rejectAll(
          this.#closing
            ? new HypervisorError('ERR_STATE', 'the VM ended before its I/O worker was ready')
            : new HypervisorError('ERR_DEVICE_HANDLER', 'the I/O worker ended before its devices were there'),
        );
        if (!this.#closing)
          events.error(
            new HypervisorError('ERR_DEVICE_HANDLER', 'the I/O worker ended while the VM was using it'),
            undefined,
          );
      });
    });
    // An uncaught error is followed by 'exit', which reports it.
    worker.on('error', cause => {
      this.#rejectAll(cause);
      events.error(
        new HypervisorError('ERR_DEVICE_HANDLER', `the I/O worker died: ${messageOf(cause)}`, { cause }),
        undefined,
      );
    });
  }

  /** Resolves when its device modules are there and exits are served; rejects with their error. */
  async serve(serving: IoServing): Promise<void> {
    await this.#ask({ type: 'serve', ...serving });
  }

  /** Resolves when no device touches guest memory any more. */
  async pause(): Promise<void> {
    await this.#ask({ type: 'pause' });
  }

  resume(): void {
    // A thread that has ended has said so, and the VM with it.
    this.#ask({ type: 'resume' }).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#worker.ref();
    this.#post({ type: 'end' });
    const timer = setTimeout(() => void this.#worker.terminate(), GRACE_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #hear(message: IoWorkerMessage, events: IoThreadEvents): void {
    switch (message.type) {
      case 'opened':
      case 'done':
        this.#settle(waiting => waiting.resolve(message.type === 'opened' ? message.virtio : []));
        return;
      case 'failed':
        // It ends now, and has said why.
        this.#closing = true;
        this.#settle(waiting => waiting.reject(fromWire(message.error)));
        return;
      case 'error':
        events.error(fromWire(message.error), message.vcpu);
        return;
      case 'fault':
        events.fault(message.device, message.reason);
        return;
      case 'end':
        events.end(message.reason, message.vcpu);
    }
  }

  async #ask(request: IoWorkerRequest): Promise<void> {
    if (this.#gone) throw new HypervisorError('ERR_STATE', 'the I/O worker has ended');
    const answer = this.#answer();
    this.#post(request);
    await answer;
  }

  /** Answers come in the order of the questions. Vcpus that run keep the process alive, not their devices; but a question does. */
  #answer(): Promise<readonly VirtioEvents[]> {
    this.#worker.ref();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #settle(how: (waiting: Waiting) => void): void {
    const first = this.#waiting.shift();
    if (this.#waiting.length === 0 && !this.#closing) this.#worker.unref();
    if (first !== undefined) how(first);
  }

  #rejectAll(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #post(request: IoWorkerRequest): void {
    this.#worker.postMessage(request);
  }
}

function startWorker(data: IoWorkerData, transfer: readonly object[]): Worker {
  try {
    // SAFETY: what cannot be transferred is refused by the constructor.
    const transferList = [...transfer] as Transferable[];
    return new Worker(workerFile('io-worker'), { workerData: data, name: 'node-kvm io', transferList });
  } catch (cause) {
    throw Object.assign(
      invalidType(
        "the virtio devices' data",
        `something that can be sent to a thread (${messageOf(cause)})`,
        data.virtio,
      ),
      { cause },
    );
  }
}

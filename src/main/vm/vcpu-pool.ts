// The pool of threads that vCPUs live on: piscina, with as many threads as it was made for, warm and never idle-stopped.
// Main thread. One long task per vCPU; a thread is free again when its vCPU is closed.

import { fileURLToPath } from 'node:url';
import type { MessagePort, Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { VcpuTask } from '../../../shared/protocol.ts';
import { workerFile } from './worker-file.ts';

const THREADS_MAX = 4096;

export interface VcpuPoolOptions {
  /** How many vCPUs can live at the same time, in all VMs that share the pool: 1 to 4096. */
  readonly threads: number;
}

/** The part of piscina's description of a worker that is read here. */
interface WorkerInterface {
  readonly id: number;
}

export class VcpuPool {
  readonly threads: number;
  readonly #piscina: Piscina<VcpuTask<MessagePort> | undefined, void>;
  readonly #workers = new Set<WorkerInterface>();
  #inUse = 0;
  #disposed: Promise<void> | undefined;

  /** Starts the threads at once. They do not keep the process alive. @throws `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_OPTION` */
  constructor(options: VcpuPoolOptions) {
    if (typeof options !== 'object' || options === null)
      throw invalidType('options', 'an object with threads', options);
    refuseUnknownKeys(options, ['threads'], 'VcpuPool');
    const { threads } = options;
    if (typeof threads !== 'number') throw invalidType('threads', 'a number', threads);
    if (!Number.isInteger(threads) || threads < 1 || threads > THREADS_MAX)
      throw outOfRange('threads', `1 to ${THREADS_MAX}`, threads);
    this.threads = threads;
    this.#piscina = new Piscina({
      filename: fileURLToPath(workerFile('vcpu-worker')),
      name: 'vcpu',
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      // With it idle workers sleep in Atomics.wait between tasks, and a vCPU's messages would never reach them.
      atomics: 'disabled',
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
    });
    this.#piscina.on('workerCreate', (worker: WorkerInterface) => this.#workers.add(worker));
    this.#piscina.on('workerDestroy', (worker: WorkerInterface) => this.#workers.delete(worker));
    // Deaths are reported to the vCPU's task; a thread that dies idle is replaced, and nobody misses it.
    this.#piscina.on('error', () => {});
  }

  /** Threads without a vCPU. */
  get free(): number {
    return this.threads - this.#inUse;
  }

  /** Resolves when all free threads run and have loaded the vCPU code: VMs then start without waiting for a thread. */
  async ready(): Promise<void> {
    this.#checkAlive();
    await Promise.all(Array.from({ length: this.free }, () => this.#piscina.run(undefined, { name: 'warmUp' })));
  }

  /** @internal Takes `count` threads, each to be given back by the task that is started on it. @throws `ERR_POOL_TOO_SMALL` */
  reserve(count: number): void {
    this.#checkAlive();
    if (count > this.free) {
      throw new HypervisorError(
        'ERR_POOL_TOO_SMALL',
        `${count} vCPUs need ${count} threads, and ${this.free} of the pool's ${this.threads} are free`,
        {
          info: { needed: count, free: this.free, threads: this.threads },
        },
      );
    }
    this.#inUse += count;
  }

  /** @internal Starts a vCPU on a reserved thread. The promise settles when the task has ended or its thread has died. */
  start(task: VcpuTask<MessagePort>): Promise<void> {
    return this.#piscina.run(task, { transferList: [task.port] }).finally(() => {
      this.#inUse--;
    });
  }

  /**
   * @internal A task keeps the process alive as long as it lasts, and a vCPU's lasts until it is disposed. What shall keep the process
   * alive is a vCPU that runs, and the vCPU's own port does that. Piscina has no option for it: its worker's port is reached
   * through the description that it hands to load balancers. Where that changes, a VM must be disposed before the process ends.
   */
  release(threadId: number): void {
    this.#portOf(threadId)?.unref();
  }

  /** @internal The opposite: somebody waits for the task's end. */
  retain(threadId: number): void {
    this.#portOf(threadId)?.ref();
  }

  #portOf(threadId: number): { ref(): void; unref(): void } | undefined {
    const worker = [...this.#workers].find(({ id }) => id === threadId);
    if (worker === undefined) return undefined;
    for (const symbol of Object.getOwnPropertySymbols(worker)) {
      const info: unknown = Reflect.get(worker, symbol);
      if (isRefCounted(info)) return info;
    }
    return undefined;
  }

  /** @internal Ends a thread that does not answer; its task rejects, and piscina starts another thread. */
  async terminate(threadId: number): Promise<void> {
    const worker: Worker | undefined = this.#piscina.threads.find(thread => thread.threadId === threadId);
    await worker?.terminate();
  }

  /** Ends all threads. VMs that still use the pool end with ERR_VCPU_DIED. Idempotent. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#piscina.destroy();
    return this.#disposed;
  }

  #checkAlive(): void {
    if (this.#disposed !== undefined) throw new HypervisorError('ERR_DISPOSED', 'the pool was disposed');
  }
}

function isRefCounted(value: unknown): value is { ref(): void; unref(): void } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'ref' in value &&
    typeof value.ref === 'function' &&
    'unref' in value &&
    typeof value.unref === 'function'
  );
}

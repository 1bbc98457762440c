// The main thread's end of one vCPU worker: its task in the pool, and Comlink over its port. Main thread.
// Comlink's calls never settle when the other side dies: ours are raced against the task's end. The port keeps the process
// alive only while a call is pending, so a vCPU that runs does (run() is a call) and one at rest does not.

import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type Remote, releaseProxy, transferHandlers, wrap } from 'comlink';
import { comlinkEndpoint, keepErrorsWhole } from '../../../shared/comlink-endpoint.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import type { VcpuApi, VcpuTask } from '../../../shared/protocol.ts';
import type { VcpuPool } from './vcpu-pool.ts';

keepErrorsWhole(transferHandlers);

/** Code of users' (a device module that is being made) may block its thread. */
const CLOSE_GRACE_MS = 300;

export class VcpuLink {
  readonly #index: number;
  readonly #pool: VcpuPool;
  readonly #port: MessagePort;
  readonly #api: Remote<VcpuApi>;
  readonly #pending = new Set<(error: HypervisorError) => void>();
  /** Settles when the task has ended or its thread has died; never rejects. */
  readonly ended: Promise<void>;
  #threadId: number | undefined;
  #gone: HypervisorError | undefined;

  /** The pool's thread must have been reserved. */
  constructor(pool: VcpuPool, task: Omit<VcpuTask<MessagePort>, 'port'>) {
    const { port1, port2 } = new MessageChannel();
    this.#index = task.index;
    this.#pool = pool;
    this.#port = port1;
    this.#api = wrap<VcpuApi>(comlinkEndpoint(port1));
    port1.unref();
    this.ended = pool.start({ ...task, port: port2 }).then(
      () => this.#lose(new HypervisorError('ERR_DISPOSED', `vCPU ${this.#index} is closed`)),
      (cause: unknown) => {
        const message = cause instanceof Error ? cause.message : String(cause);
        this.#lose(
          new HypervisorError('ERR_VCPU_DIED', `the thread of vCPU ${this.#index} died: ${message}`, {
            cause,
            info: { vcpu: this.#index },
          }),
        );
      },
    );
  }

  /** Why no call is possible any more; undefined: the worker lives. */
  get gone(): HypervisorError | undefined {
    return this.#gone;
  }

  /** Resolves when the worker answers. */
  async open(): Promise<void> {
    this.#threadId = await this.call(api => api.hello());
    this.#pool.release(this.#threadId);
  }

  /** A call of the worker; rejects with `ERR_VCPU_DIED` when its thread dies meanwhile. */
  call<T>(invoke: (api: Remote<VcpuApi>) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#gone !== undefined) {
        reject(this.#gone);
        return;
      }
      this.#pending.add(reject);
      if (this.#pending.size === 1) this.#port.ref();
      invoke(this.#api)
        .then(resolve, reject)
        .finally(() => this.#settle(reject));
    });
  }

  /** Closes the vCPU; resolves when its thread is back in the pool. A thread that does not answer in time is ended. */
  async close(): Promise<void> {
    if (this.#gone === undefined) {
      this.#retain();
      let terminated: Promise<void> | undefined;
      const timer = setTimeout(() => {
        terminated = this.terminate();
      }, CLOSE_GRACE_MS);
      // The task's end may overtake the answer, and then says the same.
      await this.call(api => api.close() as Promise<void>).catch((error: unknown) => {
        if (this.#gone === undefined) throw error;
      });
      clearTimeout(timer);
      // A thread that answered late is being ended all the same: the next VM must not get it.
      await terminated;
    }
    await this.ended;
  }

  /** Ends a thread that does not answer. */
  async terminate(): Promise<void> {
    this.#retain();
    if (this.#gone === undefined && this.#threadId !== undefined) await this.#pool.terminate(this.#threadId);
    await this.ended;
  }

  #retain(): void {
    if (this.#threadId !== undefined) this.#pool.retain(this.#threadId);
  }

  #settle(reject: (error: HypervisorError) => void): void {
    this.#pending.delete(reject);
    if (this.#pending.size === 0) this.#port.unref();
  }

  #lose(why: HypervisorError): void {
    this.#gone = why;
    for (const reject of this.#pending) reject(why);
    this.#pending.clear();
    // Comlink keeps an endpoint until its proxy is collected, and an unanswered call keeps the proxy.
    this.#api[releaseProxy]();
    this.#port.close();
  }
}

// A virtqueue as a device sees it: take a chain, use it, put it back, signal. Device's thread; pure.
// Here every fault of the driver's ends: the queue stops, the transport sets DEVICE_NEEDS_RESET, the device sees an empty queue.
// After a reset the object is closed: what a device still has in flight may be put back, and vanishes.

import { HypervisorError, outOfRange } from '../errors.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { Chain, isMemoryError, QueueFault, type ReportFault } from './chain.ts';
import type { Ring } from './ring.ts';

/** What a queue needs of its transport. */
export interface QueueHost {
  readonly memory: GuestMemory;
  /** The machine stands still: nothing is taken. */
  readonly isPaused: boolean;
  /** The driver broke the rules. */
  readonly fault: ReportFault;
  /** The driver wants an interrupt. */
  interrupt(): void;
  /** Calls back in a later turn of the event loop, with the transport's handling of errors. */
  later(work: () => void): void;
}

export class Virtqueue {
  readonly index: number;
  /** Descriptors: what the driver chose, at most what the device offers. */
  readonly size: number;
  readonly #host: QueueHost;
  readonly #ring: Ring;
  readonly #free: Chain[] = [];
  #open = true;
  /** Has the driver been asked for notifications? So it begins, in every ring. */
  #armed = true;
  #servesLater = false;

  /** @internal Made by the transport when the driver says that the queue is ready. */
  constructor(index: number, size: number, ring: Ring, host: QueueHost) {
    this.index = index;
    this.size = size;
    this.#ring = ring;
    this.#host = host;
  }

  /** False after a reset or a fault: nothing comes any more. */
  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * The driver's next request; undefined when there is none. Then `onQueue` is called when there is one again, and only then: a device
   * that stops taking before the queue is empty has to come back by itself. Costs no more than the chain's length. While the machine is
   * paused there is none either, and `onQueue` is called behind the pause.
   */
  take(): Chain | undefined {
    if (!this.#open || this.#host.isPaused) return undefined;
    const chain = this.#free.pop() ?? new Chain(this, this.#host.memory, reason => this.#fault(reason));
    try {
      if (this.#next(chain)) {
        chain.taken = true;
        return chain;
      }
    } catch (error) {
      this.#caught(error);
    }
    this.#free.push(chain);
    return undefined;
  }

  /**
   * Gives a chain back, in any order; its buffers are the driver's again. `written`: how many of its writable bytes were stored, from the
   * first on without a gap. The driver learns of it at once or by the next `signal()`.
   * @throws HypervisorError `ERR_STATE` for a chain that was put back already, or is another queue's; RangeError for more bytes than it has
   */
  put(chain: Chain, written: number): void {
    if (!chain.taken) throw new HypervisorError('ERR_STATE', 'the chain was put back already');
    if (!Number.isInteger(written) || written < 0 || written > chain.writableLength)
      throw outOfRange('written', `0 to ${chain.writableLength} bytes`, written);
    // The driver may have set this queue up anew since: what the old one had in flight is not this one's.
    const isOurs = chain.owner === this;
    if (!isOurs && chain.owner.isOpen) throw new HypervisorError('ERR_STATE', 'the chain was taken from another queue');
    chain.taken = false;
    if (!this.#open || !isOurs) return;
    try {
      this.#ring.put(chain, written);
      this.#free.push(chain);
    } catch (error) {
      this.#caught(error);
    }
  }

  /** Interrupts the driver, if it asked for that, for all that was put since the last time. Once per batch is enough. */
  signal(): void {
    if (!this.#open) return;
    try {
      if (this.#ring.needsInterrupt()) this.#host.interrupt();
    } catch (error) {
      this.#caught(error);
    }
  }

  /**
   * For devices that answer at once: takes, handles and puts back until the queue is empty, and signals. `handle` returns the
   * bytes written. A driver that goes on and on does not keep the thread: after `size` chains others have their turn.
   */
  serve(handle: (chain: Chain) => number): void {
    let left = this.size;
    for (; left > 0; left--) {
      const chain = this.take();
      if (chain === undefined) break;
      this.put(chain, handle(chain));
    }
    this.signal();
    if (left > 0 || this.#servesLater) return;
    this.#servesLater = true;
    this.#host.later(() => {
      this.#servesLater = false;
      this.serve(handle);
    });
  }

  /** @internal The device was reset, or the driver took the queue back. */
  close(): void {
    this.#open = false;
    this.#free.length = 0;
  }

  #next(chain: Chain): boolean {
    if (this.#ring.take(chain)) {
      if (this.#armed) {
        this.#ring.disarm();
        this.#armed = false;
      }
      return true;
    }
    if (this.#armed) return false;
    this.#ring.arm();
    this.#armed = true;
    // A chain that came before the driver saw that was not notified.
    if (!this.#ring.take(chain)) return false;
    this.#ring.disarm();
    this.#armed = false;
    return true;
  }

  #caught(error: unknown): void {
    // Memory errors: the ring's own RAM was removed after the queue was set up.
    if (!(error instanceof QueueFault) && !isMemoryError(error)) throw error;
    this.#fault(error.message);
  }

  #fault(reason: string): void {
    if (!this.#open) return;
    this.close();
    this.#host.fault(`queue ${this.index}: ${reason}`);
  }
}

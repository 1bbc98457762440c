// The application's side of a machine's balloon: how much memory the guest shall give up, and what it says of the rest. Main thread.

import type { MessagePort } from 'node:worker_threads';
import { HypervisorError, outOfRange } from '../../../shared/errors.ts';
import { PAGE_SIZE, toU64, type U64 } from '../../../shared/units.ts';
import type { BalloonStats } from '../../../shared/virtio/balloon.ts';
import {
  BALLOON_ACTUAL,
  BALLOON_GIVEN,
  type BalloonCommand,
  type BalloonEvent,
} from '../../../shared/virtio/balloon-link.ts';

const TARGET_MAX = (2 ** 32 - 1) * PAGE_SIZE;

interface Waiting {
  resolve(stats: BalloonStats): void;
  reject(error: unknown): void;
}

export class BalloonHost {
  readonly #port: MessagePort;
  readonly #words: BigUint64Array;
  #waiting: Waiting[] = [];
  #target = 0;
  #open = true;

  /** @internal `port`: the channel to the device, which does not keep the process alive. `words`: its counters. */
  constructor(port: MessagePort, words: SharedArrayBuffer) {
    this.#port = port;
    this.#words = new BigUint64Array(words);
    port.on('message', (event: BalloonEvent) => this.#settle(event));
    port.on('close', () => {
      this.#open = false;
      this.#settle(undefined);
    });
    port.unref();
  }

  /** Bytes that the guest was asked to give up. Default 0. */
  get target(): number {
    return this.#target;
  }

  /** Bytes that the guest has given up by now, as its driver says. */
  get actual(): number {
    return Number(Atomics.load(this.#words, BALLOON_ACTUAL));
  }

  /** Bytes that went back to the host, pages that the guest reported as free included; a page counts each time. */
  get givenBack(): number {
    return Number(Atomics.load(this.#words, BALLOON_GIVEN));
  }

  /**
   * Asks the guest to give up `bytes` altogether, or, when that is less than before, to take the difference back. It does so in its own time:
   * `actual` follows, as far as the guest can.
   * @throws TypeError, RangeError: not a multiple of 4 KiB, or more than 16 TiB
   */
  setTarget(bytes: U64): void {
    const target = toU64(bytes, 'bytes');
    if (target % PAGE_SIZE !== 0 || target > TARGET_MAX)
      throw outOfRange('bytes', 'a multiple of 4 KiB, less than 16 TiB', target);
    this.#target = target;
    this.#post({ type: 'target', bytes: target });
  }

  /**
   * What the guest says of its memory, now.
   * @throws (rejects) HypervisorError `ERR_STATE`: no driver that tells any, or the machine has ended
   */
  async stats(): Promise<BalloonStats> {
    if (!this.#open) throw noStats();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      // One question at a time: its answer is everybody's.
      if (this.#waiting.length === 1) this.#post({ type: 'stats' });
    });
  }

  #settle(stats: BalloonStats | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve, reject } of waiting) {
      if (stats === undefined) reject(noStats());
      else resolve(stats);
    }
  }

  #post(command: BalloonCommand): void {
    if (this.#open) this.#port.postMessage(command);
  }
}

function noStats(): HypervisorError {
  return new HypervisorError('ERR_STATE', 'the guest has no balloon driver that tells statistics');
}

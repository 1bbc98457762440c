// virtio-balloon (VIRTIO 1.2, 5.5): the guest gives pages up when the host asks for them, and takes them back; it reports pages that
// are free anyway; and it tells how its memory is used. Device's thread; pure: who gives pages back to the host is handed in.

import { PAGE_SIZE } from '../units.ts';
import type { Chain } from './chain.ts';
import type { VirtioContext, VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';

const BALLOON_DEVICE = 5;
const QUEUE_SIZE = 128;
const INFLATE = 0;
const DEFLATE = 1;
const STATS = 2;
export const BALLOON_F = { STATS_VQ: 1n << 1n, DEFLATE_ON_OOM: 1n << 2n, REPORTING: 1n << 5n } as const;
/** Offsets in the configuration space: what the host wants, and what the driver has. Pages, 32 bits each. */
const TARGET = 0;
const ACTUAL = 4;
/** Page numbers of one request, four bytes each: drivers send 256 to 1024. Each may cost a system call. */
const NUMBERS_MAX = 1024;
/** Ten bytes each: a tag and a value. */
const STAT = 10;
const STATS_MAX = 64;

/** By tag (5.5.6.3). */
const STAT_NAMES = [
  'swapIn',
  'swapOut',
  'majorFaults',
  'minorFaults',
  'free',
  'total',
  'available',
  'caches',
  'hugePageAllocations',
  'hugePageFailures',
] as const;

/** What the guest's driver says of its memory: bytes (swap, free, total, available, caches) and counts. What it does not tell is absent. */
export type BalloonStats = { readonly [name in (typeof STAT_NAMES)[number]]?: number };

/** Guest physical addresses: whole pages. */
export interface PageRange {
  readonly start: number;
  readonly length: number;
}

/** The host's end. Called on the device's thread; must not throw. */
export interface BalloonPeer {
  /** Pages of writable RAM that the guest does not need: their contents may go. */
  discard(ranges: readonly PageRange[]): void;
  /** The driver has so many bytes in its balloon now. */
  actual(bytes: number): void;
  /** The answer to `askStats()`; undefined: the driver went away instead. */
  stats(stats: BalloonStats | undefined): void;
}

export class VirtioBalloon implements VirtioDevice {
  readonly name = 'virtio-balloon';
  readonly id = BALLOON_DEVICE;
  readonly features = BALLOON_F.STATS_VQ | BALLOON_F.DEFLATE_ON_OOM | BALLOON_F.REPORTING;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE];
  readonly #peer: BalloonPeer;
  readonly #config = new DataView(new ArrayBuffer(16));
  readonly #numbers = new Uint32Array(NUMBERS_MAX);
  #context: VirtioContext | undefined;
  /** The driver's buffer for statistics: given back, it is filled anew. */
  #statsChain: Chain | undefined;
  #asked = false;

  constructor(peer: BalloonPeer) {
    this.#peer = peer;
  }

  /** Asks the guest to give up so many bytes altogether, or to take some back: whole pages, up to 16 TiB. It does so in its own time. */
  setTarget(bytes: number): void {
    this.#config.setUint32(TARGET, Math.floor(bytes / PAGE_SIZE), true);
    this.#context?.configChanged();
  }

  /** Asks for statistics; false where there is no driver that tells any, or where it has been asked already. */
  askStats(): boolean {
    const queue = this.#context?.queue(STATS);
    const chain = this.#statsChain;
    if (queue === undefined || chain?.isOpen !== true) return false;
    this.#statsChain = undefined;
    this.#asked = true;
    queue.put(chain, 0);
    queue.signal();
    return true;
  }

  config(): Uint8Array {
    return new Uint8Array(this.#config.buffer);
  }

  /** Only `actual` is the driver's. */
  writeConfig(offset: number, bytes: Uint8Array): void {
    if (offset !== ACTUAL || bytes.length !== 4) return;
    new Uint8Array(this.#config.buffer).set(bytes, ACTUAL);
    this.#peer.actual(this.#config.getUint32(ACTUAL, true) * PAGE_SIZE);
  }

  start(context: VirtioContext): void {
    this.#context = context;
  }

  reset(): void {
    this.#context = undefined;
    this.#statsChain = undefined;
    // A driver that begins anew has nothing in its balloon.
    this.#config.setUint32(ACTUAL, 0, true);
    this.#peer.actual(0);
    if (this.#asked) this.#peer.stats(undefined);
    this.#asked = false;
  }

  onQueue(queue: Virtqueue): void {
    const has = (feature: bigint) => ((this.#context?.features ?? 0n) & feature) !== 0n;
    if (queue.index === INFLATE) queue.serve(chain => this.#inflate(chain));
    // Taken back: the pages are there as soon as they are touched.
    else if (queue.index === DEFLATE) queue.serve(() => 0);
    else if (queue.index === STATS && has(BALLOON_F.STATS_VQ)) this.#takeStats(queue);
    // Drivers differ in whether queues of features that were not negotiated have numbers: whatever comes last is this one.
    else if (has(BALLOON_F.REPORTING)) queue.serve(chain => this.#report(chain));
  }

  #inflate(chain: Chain): number {
    const count = Math.floor(chain.readableLength / 4);
    if (count > NUMBERS_MAX) {
      this.#context?.fault(`${count} pages at once`);
      return 0;
    }
    const numbers = this.#numbers.subarray(0, count);
    // Less where its memory was taken away: then it has what the last request said.
    if (chain.read(0, new Uint8Array(numbers.buffer, 0, 4 * count)) < 4 * count) return 0;
    const ranges: { start: number; length: number }[] = [];
    for (const number of numbers) {
      const start = number * PAGE_SIZE;
      if (this.#context?.memory.covers(start, PAGE_SIZE, true) !== true) {
        this.#context?.fault(`page ${number} is not the guest's to give`);
        return 0;
      }
      const last = ranges.at(-1);
      if (last !== undefined && last.start + last.length === start) last.length += PAGE_SIZE;
      else ranges.push({ start, length: PAGE_SIZE });
    }
    this.#peer.discard(ranges);
    return 0;
  }

  /** Free pages, named by buffers that we may write: what lies in parts of pages stays. */
  #report(chain: Chain): number {
    const ranges: PageRange[] = [];
    chain.eachWritable((address, length) => {
      const start = Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
      const end = Math.floor((address + length) / PAGE_SIZE) * PAGE_SIZE;
      if (end > start) ranges.push({ start, length: end - start });
    });
    this.#peer.discard(ranges);
    return 0;
  }

  #takeStats(queue: Virtqueue): void {
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      const second = this.#statsChain;
      this.#statsChain = chain;
      // One buffer goes to and fro, and the driver sends it again when it has it back.
      if (second?.isOpen === true) {
        this.#context?.fault('a second buffer of statistics');
        return;
      }
      // Unasked, it is the first one: nobody waits for it.
      if (this.#asked) this.#peer.stats(readStats(chain));
      this.#asked = false;
    }
  }
}

function readStats(chain: Chain): BalloonStats {
  const bytes = new Uint8Array(Math.min(chain.readableLength, STATS_MAX * STAT));
  chain.read(0, bytes);
  const view = new DataView(bytes.buffer);
  const stats: { [name: string]: number } = {};
  for (let at = 0; at + STAT <= bytes.length; at += STAT) {
    const name = STAT_NAMES[view.getUint16(at, true)];
    // What is beyond 2^53 is a driver's joke, or a "not known" of all ones.
    const value = Number(view.getBigUint64(at + 2, true));
    if (name !== undefined && Number.isSafeInteger(value)) stats[name] = value;
  }
  return stats;
}

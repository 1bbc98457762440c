// virtio-blk, the block device (VIRTIO 1.2, 5.2), over anything that reads and writes lists of buffers. Device's thread; pure.
// Requests run at the same time, up to IN_FLIGHT_MAX, straight between the disk and guest memory; then the rest waits in the ring,
// which is how a guest that asks for more than the disk does is slowed down. Any order of completion is the driver's to expect.

import type { Chain } from './chain.ts';
import type { VirtioContext, VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';

/** What a block device stands on. Positions and lengths in bytes, multiples of 512, within the capacity. */
export interface Disk {
  /** Bytes, a multiple of 512. */
  readonly capacity: number;
  readonly readOnly: boolean;
  /** What the guest may ask it for: at most 20 bytes of ASCII. */
  readonly id: string;
  /** Fills all of the views, or rejects. */
  read(views: readonly Uint8Array[], position: number): Promise<void>;
  /** Stores all of the views, or rejects. */
  write(views: readonly Uint8Array[], position: number): Promise<void>;
  /** Everything whose write has resolved is on stable storage. */
  flush(): Promise<void>;
  /** The content is not needed any more. Absent: the guest is not offered it. */
  discard?(position: number, length: number): Promise<void>;
  /** Zeroes from here on. Absent: the guest is not offered it. */
  writeZeroes?(position: number, length: number): Promise<void>;
}

export const SECTOR = 512;
const BLOCK_DEVICE = 2;
const QUEUE = 0;
const QUEUE_SIZE = 256;
/** libuv has four threads for files; more than that keeps them busy while completions are on their way. */
const IN_FLIGHT_MAX = 64;
const SEGMENTS_MAX = 254;
/** 16 MiB of zeroes at once, and a discard of anything. */
const ZERO_SECTORS_MAX = 32_768;
const DISCARD_SECTORS_MAX = 0xffff_ffff;

export const BLK_F = {
  SEG_MAX: 1n << 2n,
  READ_ONLY: 1n << 5n,
  BLK_SIZE: 1n << 6n,
  FLUSH: 1n << 9n,
  DISCARD: 1n << 13n,
  WRITE_ZEROES: 1n << 14n,
} as const;

export const REQUEST = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
export const RESULT = { OK: 0, IO_ERROR: 1, UNSUPPORTED: 2 } as const;
type Result = (typeof RESULT)[keyof typeof RESULT];

const HEADER = 16;
const ID_BYTES = 20;
const SEGMENT = 16;
const UNMAP = 1;

/** What a request turned into: work that takes a while, and the bytes that it stores for the guest. */
interface Work {
  readonly done: Promise<void>;
  readonly stored: number;
}

export class VirtioBlk implements VirtioDevice {
  readonly name = 'virtio-blk';
  readonly id = BLOCK_DEVICE;
  readonly features: bigint;
  readonly queueSizes = [QUEUE_SIZE];
  readonly #disk: Disk;
  readonly #sectors: number;
  readonly #config = new Uint8Array(60);
  // Copies of what the driver wrote, one request at a time.
  readonly #header = new DataView(new ArrayBuffer(HEADER));
  readonly #segment = new DataView(new ArrayBuffer(SEGMENT));
  #context: VirtioContext | undefined;
  #inFlight = 0;
  #pumpsSoon = false;

  constructor(disk: Disk) {
    this.#disk = disk;
    this.#sectors = Math.floor(disk.capacity / SECTOR);
    const { readOnly } = disk;
    this.features =
      BLK_F.SEG_MAX |
      BLK_F.BLK_SIZE |
      BLK_F.FLUSH |
      (readOnly ? BLK_F.READ_ONLY : 0n) |
      (disk.discard !== undefined && !readOnly ? BLK_F.DISCARD : 0n) |
      (disk.writeZeroes !== undefined && !readOnly ? BLK_F.WRITE_ZEROES : 0n);
    const config = new DataView(this.#config.buffer);
    config.setBigUint64(0, BigInt(this.#sectors), true);
    config.setUint32(12, SEGMENTS_MAX, true);
    config.setUint32(20, SECTOR, true);
    config.setUint32(36, DISCARD_SECTORS_MAX, true);
    config.setUint32(40, 1, true); // segments of a discard
    config.setUint32(44, 1, true); // alignment of a discard, sectors
    config.setUint32(48, ZERO_SECTORS_MAX, true);
    config.setUint32(52, 1, true); // segments of a write of zeroes
  }

  config(): Uint8Array {
    return this.#config;
  }

  start(context: VirtioContext): void {
    this.#context = context;
  }

  reset(): void {
    // Requests in flight end by themselves, and count until then: a guest cannot pile them up by resets. What they read still arrives in
    // its buffers, and dirty tracking has it: a system call cannot be taken back, and a register's write is answered at once. Drivers wait
    // for their requests before they reset; a kernel that starts over a running one, as for a crash dump, keeps out of that one's memory.
    this.#context = undefined;
  }

  onQueue(queue: Virtqueue): void {
    this.#pump(queue);
  }

  #pump(queue: Virtqueue): void {
    // Requests that are answered at once are bounded, too.
    let turns = queue.size;
    while (this.#inFlight < IN_FLIGHT_MAX && turns > 0) {
      const chain = queue.take();
      if (chain === undefined) break;
      turns -= 1;
      const work = this.#begin(queue, chain);
      if (work === undefined) break;
      if (work === 'answered') continue;
      if (typeof work === 'number') this.#finish(queue, chain, work, 0);
      else void this.#complete(queue, chain, work);
    }
    queue.signal();
    if (turns === 0) this.#pumpSoon();
  }

  /**
   * Once for all that ends in one turn of the event loop, and never in a loop of its own: a guest may ask faster than we answer. The queue is
   * the one of that time: requests from before a reset keep those behind it waiting, and their end is what lets them go on.
   */
  #pumpSoon(): void {
    if (this.#pumpsSoon) return;
    this.#pumpsSoon = true;
    setImmediate(() => {
      this.#pumpsSoon = false;
      const queue = this.#context?.queue(QUEUE);
      if (queue !== undefined) this.#pump(queue);
    });
  }

  async #complete(queue: Virtqueue, chain: Chain, work: Work): Promise<void> {
    this.#inFlight += 1;
    let result: Result = RESULT.OK;
    try {
      await work.done;
    } catch {
      // The guest learns that it failed; why is the host's business.
      result = RESULT.IO_ERROR;
    }
    this.#inFlight -= 1;
    // Also after a failure, and after a reset: some of it may have been stored.
    if (work.stored > 0) chain.wrote(0, work.stored);
    this.#finish(queue, chain, result, result === RESULT.OK ? work.stored : 0);
    this.#pumpSoon();
  }

  /** The status is the last writable byte; after a reset it is not ours to write. */
  #finish(queue: Virtqueue, chain: Chain, result: Result, stored: number): void {
    if (queue.isOpen) chain.write(chain.writableLength - 1, Uint8Array.of(result));
    queue.put(chain, stored + 1);
  }

  /** Reads the header once, checks it, and begins. Undefined: the driver broke the rules, and the device has stopped. */
  #begin(queue: Virtqueue, chain: Chain): Work | Result | 'answered' | undefined {
    const header = this.#header;
    if (chain.writableLength < 1 || chain.read(0, new Uint8Array(header.buffer)) < HEADER) {
      this.#context?.fault('a request without a header, or without room for its status');
      return undefined;
    }
    const position = (header.getUint32(12, true) * 2 ** 32 + header.getUint32(8, true)) * SECTOR;
    const type = header.getUint32(0, true);
    switch (type) {
      case REQUEST.IN:
        return this.#read(chain, position);
      case REQUEST.OUT:
        return this.#write(chain, position);
      case REQUEST.FLUSH:
        return { done: this.#disk.flush(), stored: 0 };
      case REQUEST.GET_ID:
        return this.#getId(queue, chain);
      case REQUEST.DISCARD:
      case REQUEST.WRITE_ZEROES:
        return this.#clear(chain, type);
      default:
        return RESULT.UNSUPPORTED;
    }
  }

  #read(chain: Chain, position: number): Work | Result {
    const stored = chain.writableLength - 1;
    if (!this.#isWithin(position, stored)) return RESULT.IO_ERROR;
    return { done: this.#disk.read(chain.writableViews(0, stored), position), stored };
  }

  #write(chain: Chain, position: number): Work | Result {
    const length = chain.readableLength - HEADER;
    if (this.#disk.readOnly || !this.#isWithin(position, length)) return RESULT.IO_ERROR;
    const done = this.#disk.write(chain.readableViews(HEADER, length), position);
    // A driver that cannot flush takes a write that has ended for a stable one.
    const canFlush = ((this.#context?.features ?? 0n) & BLK_F.FLUSH) !== 0n;
    return { done: canFlush ? done : done.then(() => this.#disk.flush()), stored: 0 };
  }

  #getId(queue: Virtqueue, chain: Chain): 'answered' {
    const id = new Uint8Array(ID_BYTES);
    id.set(new TextEncoder().encode(this.#disk.id).subarray(0, ID_BYTES));
    const room = Math.min(ID_BYTES, chain.writableLength - 1);
    this.#finish(queue, chain, RESULT.OK, chain.write(0, id.subarray(0, room)));
    return 'answered';
  }

  #clear(chain: Chain, type: number): Work | Result {
    const segment = this.#segment;
    const isDiscard = type === REQUEST.DISCARD;
    const offered = isDiscard ? BLK_F.DISCARD : BLK_F.WRITE_ZEROES;
    if ((this.features & offered) === 0n) return RESULT.UNSUPPORTED;
    if (chain.readableLength !== HEADER + SEGMENT) return RESULT.IO_ERROR;
    // Less where its memory was taken away: then it has what the last request said.
    if (chain.read(HEADER, new Uint8Array(segment.buffer)) < SEGMENT) return RESULT.IO_ERROR;
    const position = (segment.getUint32(4, true) * 2 ** 32 + segment.getUint32(0, true)) * SECTOR;
    const sectors = segment.getUint32(8, true);
    const flags = segment.getUint32(12, true);
    // To unmap is a hint for zeroes, and no flag of a discard (5.2.6.2).
    if ((flags & ~UNMAP) !== 0 || (isDiscard && flags !== 0)) return RESULT.UNSUPPORTED;
    if (!this.#isWithin(position, sectors * SECTOR)) return RESULT.IO_ERROR;
    if (isDiscard) return { done: this.#disk.discard?.(position, sectors * SECTOR) ?? Promise.resolve(), stored: 0 };
    if (sectors > ZERO_SECTORS_MAX) return RESULT.IO_ERROR;
    return { done: this.#disk.writeZeroes?.(position, sectors * SECTOR) ?? Promise.resolve(), stored: 0 };
  }

  /** Whole sectors, one or more, inside. What is beyond 2^53 lost its low bits, and is outside all the more. */
  #isWithin(position: number, length: number): boolean {
    return length > 0 && length % SECTOR === 0 && position + length <= this.#sectors * SECTOR;
  }
}

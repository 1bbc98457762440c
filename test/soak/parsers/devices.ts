// Damaged requests to the devices, for the fuzzer: what each device reads of its driver's, most of it valid, in chains of any cut. Nothing
// throws, what reaches the host's side keeps the device's promises, and a reset always brings the device back.

import { KvmMemory } from 'node-kvm';
import { BALLOON_F, VirtioBalloon } from '../../../shared/virtio/balloon.ts';
import { BLK_F, type Disk, REQUEST, RESULT, SECTOR, VirtioBlk } from '../../../shared/virtio/blk.ts';
import { VirtioConsole } from '../../../shared/virtio/console.ts';
import type { VirtioDevice } from '../../../shared/virtio/device.ts';
import { NET_HEADER, type NetBackend, VirtioNet } from '../../../shared/virtio/net.ts';
import { VirtioRng } from '../../../shared/virtio/rng.ts';
import type { Segment } from '../../virtio-driver.ts';
import { QueuesDriver } from '../../virtio-queues.ts';
import type { Random } from '../random.ts';
import { damage, oddWord, type Parser, promise, type Verdict } from './parser.ts';

const MEMORY = 0x20_0000;
/** Behind the queues of five. */
const PLACE = 0x18_0000;
const PLACE_SIZE = 0x4_0000;
const SIZE = 64;
/** More than a request may clear. */
const CAPACITY = 64 << 20;
const SECTORS = CAPACITY / SECTOR;

/** One device, its driver, and memory of their own. */
class Guest {
  readonly memory = new KvmMemory(MEMORY);
  readonly driver: QueuesDriver;
  readonly #random: Random;
  readonly #features: bigint;
  readonly #queues: number;
  #next = PLACE;

  constructor(random: Random, device: VirtioDevice, features: bigint) {
    this.#random = random;
    this.#features = features;
    this.#queues = device.queueSizes.length;
    this.driver = new QueuesDriver(device, this.memory);
    this.setUp();
  }

  setUp(): void {
    this.driver.setUp(
      this.#features,
      Array.from({ length: this.#queues }, () => SIZE),
    );
    promise(this.driver.mmio.status === 15, () => `a reset does not bring it back: ${this.driver.mmio.status}`);
  }

  /** Somewhere for `length` bytes: fresh ones for some time. */
  place(length: number): number {
    if (this.#next + length > PLACE + PLACE_SIZE) this.#next = PLACE;
    const at = this.#next;
    this.#next += length;
    return at;
  }

  /** Hands `bytes` and room for `writable` to the device, each in one to three pieces; now and then with a piece too many. */
  send(index: number, bytes: Uint8Array, writable: number): { readonly status: number } {
    const random = this.#random;
    const queue = this.driver.queue(index);
    const readAt = this.place(bytes.length);
    const writeAt = this.place(writable);
    this.memory.write(readAt, bytes);
    const readable = cut(random, readAt, bytes.length);
    const into = cut(random, writeAt, writable);
    if (random.oneIn(32)) into.push({ at: random.below(MEMORY), length: 1 + random.below(600) });
    if (readable.length + into.length === 0) into.push({ at: writeAt, length: 1 });
    queue.collect();
    if (queue.room < readable.length + into.length) this.setUp();
    this.driver.queue(index).add(readable, into);
    this.driver.queue(index).kick();
    const last = into.at(-1);
    return { status: last === undefined ? -1 : last.at + last.length - 1 };
  }

  /** Is the device in need of a reset? It gets one then. */
  refused(): boolean {
    if (!this.driver.needsReset) return false;
    promise(this.driver.faults.length > 0, () => 'a fault without a reason');
    this.driver.faults.length = 0;
    this.setUp();
    return true;
  }

  finish(): void {
    this.memory[Symbol.dispose]();
  }
}

function cut(random: Random, at: number, length: number): Segment[] {
  const pieces: Segment[] = [];
  for (let done = 0; done < length; ) {
    const left = length - done;
    const size = pieces.length === 2 || random.oneIn(2) ? left : 1 + random.below(left);
    pieces.push({ at: at + done, length: size });
    done += size;
  }
  return pieces;
}

/** A disk that checks what it is asked for. What it threw would be an answer to the guest: it keeps it. */
class CheckedDisk implements Disk {
  broken: string | undefined;
  readonly capacity = CAPACITY;
  readonly readOnly = false;
  readonly id = 'a disk with a name that is too long';
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  async read(views: readonly Uint8Array[], position: number): Promise<void> {
    this.#check(position, sum(views));
    for (const view of views) view[0] = 1;
  }

  async write(views: readonly Uint8Array[], position: number): Promise<void> {
    this.#check(position, sum(views));
  }

  async flush(): Promise<void> {
    if (this.#random.oneIn(64)) throw new Error('a disk that fails');
  }

  async discard(position: number, length: number): Promise<void> {
    this.#check(position, length);
  }

  async writeZeroes(position: number, length: number): Promise<void> {
    this.#check(position, length);
    if (length > 16 << 20) this.broken = `${length} zeroes`;
  }

  #check(position: number, length: number): void {
    const fits = position >= 0 && length > 0 && position + length <= this.capacity;
    if (!fits || position % SECTOR !== 0 || length % SECTOR !== 0) this.broken = `${length} bytes at ${position}`;
  }
}

const sum = (views: readonly Uint8Array[]) => views.reduce((total, { length }) => total + length, 0);

/** Headers and segments of block requests. */
export const blk: Parser = {
  name: 'blk',
  open(random) {
    const features = BLK_F.FLUSH | BLK_F.DISCARD | BLK_F.WRITE_ZEROES;
    const disk = new CheckedDisk(random);
    const guest = new Guest(random, new VirtioBlk(disk), features);
    return {
      async input(): Promise<Verdict> {
        const type = random.pick(Object.values(REQUEST));
        const payload = {
          [REQUEST.OUT]: SECTOR * (1 + random.below(4)),
          [REQUEST.DISCARD]: 16,
          [REQUEST.WRITE_ZEROES]: 16,
        };
        const bytes = new Uint8Array(16 + ((payload as Record<number, number>)[type] ?? 0));
        const view = new DataView(bytes.buffer);
        view.setUint32(0, type, true);
        view.setUint32(8, random.below(SECTORS), true);
        if (type === REQUEST.DISCARD || type === REQUEST.WRITE_ZEROES) {
          view.setUint32(16, random.below(SECTORS), true);
          view.setUint32(24, 1 + random.below(8), true);
        }
        if (random.oneIn(2))
          damage(random, bytes, { last: Math.min(bytes.length, 32), near: [SECTORS, SECTORS - 1, 32_768] });
        const sizes = { [REQUEST.IN]: SECTOR * (1 + random.below(4)), [REQUEST.GET_ID]: 20 };
        const room = (sizes as Record<number, number>)[type] ?? 0;
        const writable = random.oneIn(16) ? random.below(600) : room + 1;
        const sent = random.oneIn(32) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
        const { status } = guest.send(0, sent, writable);
        promise(disk.broken === undefined, () => `the disk was asked for ${disk.broken}`);
        if (guest.refused()) return 'refused';
        const queue = guest.driver.queue(0);
        for (let i = 0; i < 64; i++) {
          if (queue.collect().length > 0) return guest.memory.view(status, 1)[0] === RESULT.OK ? 'accepted' : 'refused';
          await undefined;
        }
        throw new Error('a request is not answered');
      },
      finish: () => guest.finish(),
    };
  },
};

/** Frames of both directions. */
export const net: Parser = {
  name: 'net',
  open(random) {
    const backend: NetBackend = {
      send: frame => {
        promise(frame.length >= 14 && frame.length <= 1518, () => `a frame of ${frame.length} bytes`);
        return !random.oneIn(16);
      },
      onFrame: undefined,
      close() {},
    };
    const device = new VirtioNet({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtu: 1500 }, backend);
    const guest = new Guest(random, device, 0n);
    return {
      input(): Verdict {
        const { counters } = device;
        const before = counters.sent + counters.sentDropped + counters.received;
        const length = random.oneIn(4) ? random.below(1700) : 60 + random.below(1400);
        if (random.oneIn(2)) {
          const bytes = new Uint8Array(random.oneIn(16) ? random.below(NET_HEADER) : NET_HEADER + length);
          damage(random, bytes);
          guest.send(1, bytes, 0);
        } else {
          guest.send(0, new Uint8Array(), random.oneIn(8) ? random.below(1600) : 1530);
          backend.onFrame?.(new Uint8Array(length));
        }
        if (guest.refused()) return 'refused';
        return counters.sent + counters.sentDropped + counters.received > before ? 'accepted' : 'refused';
      },
      finish: () => guest.finish(),
    };
  },
};

/** Output and input of the console. */
export const console_: Parser = {
  name: 'console',
  open(random) {
    let seen = 0;
    let busy = false;
    const device = new VirtioConsole(
      { columns: 80, rows: 25 },
      {
        output: bytes => {
          promise(bytes.length > 0 && bytes.length <= 1 << 20, () => `${bytes.length} bytes of output`);
          seen += 1;
        },
        inputTaken: () => {
          seen += 1;
          busy = false;
        },
      },
    );
    const guest = new Guest(random, device, 1n);
    return {
      input(): Verdict {
        const before = seen;
        if (!busy && random.oneIn(2)) {
          busy = true;
          device.write(new Uint8Array(1 + random.below(100)));
        }
        const output = random.oneIn(2);
        const odd = random.oneIn(8);
        if (output) guest.send(1, new Uint8Array(random.below(4000)), odd ? 100 : 0);
        else
          guest.send(0, new Uint8Array(odd ? random.below(100) : 0), odd ? random.below(100) : 1 + random.below(200));
        if (guest.refused()) return 'refused';
        return seen > before ? 'accepted' : 'refused';
      },
      finish: () => guest.finish(),
    };
  },
};

/** Page numbers, reports, statistics and configuration of the balloon. */
export const balloon: Parser = {
  name: 'balloon',
  open(random) {
    let seen = 0;
    const device = new VirtioBalloon({
      discard: ranges => {
        for (const { start, length } of ranges) {
          promise(start % 4096 === 0 && length % 4096 === 0 && length > 0, () => `${length} bytes at ${start}`);
          promise(start >= 0 && start + length <= MEMORY, () => `${start} is not the guest's`);
        }
        seen += ranges.length;
      },
      actual: bytes => promise(bytes >= 0 && bytes <= 2 ** 44, () => `${bytes} bytes in the balloon`),
      stats: stats => {
        const values = Object.values(stats ?? {});
        promise(
          values.every(value => Number.isSafeInteger(value) && value >= 0),
          () => `statistics ${values}`,
        );
        seen += 1;
      },
    });
    const guest = new Guest(random, device, BALLOON_F.STATS_VQ | BALLOON_F.REPORTING);
    const input = () => {
      const queue = random.pick([0, 0, 0, 1, 2, 3, 4]);
      if (queue >= 3) {
        guest.send(queue, new Uint8Array(), random.below(20_000));
        return;
      }
      const count = random.below(queue === 0 ? 300 : 20);
      const bytes = new Uint8Array(queue === 2 ? 10 * count : 4 * count);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < count; i++) {
        if (queue === 2) view.setUint16(10 * i, random.below(12), true);
        else view.setUint32(4 * i, random.below(MEMORY / 4096), true);
      }
      if (random.oneIn(2)) damage(random, bytes, { near: [MEMORY / 4096] });
      guest.send(queue, bytes, random.oneIn(16) ? 100 : 0);
      if (queue === 2) device.askStats();
    };
    return {
      input(): Verdict {
        const before = seen;
        input();
        if (random.oneIn(8)) guest.driver.mmio.write(0x100 + random.below(20), random.pick([1, 2, 4]), oddWord(random));
        if (random.oneIn(16)) device.setTarget(4096 * random.below(512));
        if (guest.refused()) return 'refused';
        return seen > before ? 'accepted' : 'refused';
      },
      finish: () => guest.finish(),
    };
  },
};

/** Buffers to be filled. */
export const rng: Parser = {
  name: 'rng',
  open(random) {
    let seen = 0;
    const device = new VirtioRng(view => {
      promise(view.length > 0 && view.length <= 65_536, () => `${view.length} random bytes`);
      seen += 1;
    });
    const guest = new Guest(random, device, 0n);
    return {
      input(): Verdict {
        const before = seen;
        const room = random.oneIn(8) ? 0 : random.below(random.oneIn(4) ? 100_000 : 64);
        guest.send(0, new Uint8Array(random.oneIn(4) ? random.below(20) : 0), room);
        if (guest.refused()) return 'refused';
        return seen > before ? 'accepted' : 'refused';
      },
      finish: () => guest.finish(),
    };
  },
};

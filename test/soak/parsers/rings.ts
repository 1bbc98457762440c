// Damaged rings and register sequences, for the fuzzer: a driver that keeps to the rules most of the time, under a device that looks at
// all that it is given. Nothing throws; what is accepted lies in RAM; a reset always brings the device back.

import { KvmMemory, u16le, u32le, u64le } from 'node-kvm';
import type { Chain } from '../../../shared/virtio/chain.ts';
import { VIRTIO_F, type VirtioDevice } from '../../../shared/virtio/device.ts';
import { MMIO, STATUS, VirtioMmio } from '../../../shared/virtio/mmio.ts';
import type { Virtqueue } from '../../../shared/virtio/queue.ts';
import { LAYOUT, ModelDriver, type RingChoice, type Segment } from '../../virtio-driver.ts';
import type { Random } from '../random.ts';
import { damage, oddWord, type Parser, promise, type Verdict } from './parser.ts';

const MEMORY = 0x4_0000;
const RINGS_END = 0x5000;
const READY = STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK | STATUS.DRIVER_OK;

/** Reads and writes all of each chain, and keeps some for later. */
class Looking implements VirtioDevice {
  readonly name = 'looking';
  readonly id = 42;
  readonly features = 1n;
  readonly queueSizes = [16, 16];
  chains = 0;
  /** Looks at each chain before the device does. */
  check: (chain: Chain) => void = () => {};
  readonly #random: Random;
  /** It keeps one of so many. */
  readonly #keeps: number;
  readonly #bytes = new Uint8Array(4096);
  #held: [Virtqueue, Chain][] = [];

  constructor(random: Random) {
    this.#random = random;
    this.#keeps = random.pick([2, 8, 32]);
  }

  /** Chains that it has of open queues. */
  get held(): readonly Chain[] {
    return this.#held.map(([, chain]) => chain).filter(({ isOpen }) => isOpen);
  }

  config(): Uint8Array {
    return this.#bytes.subarray(0, 60);
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    promise(bytes.length <= 8 && offset >= 0, () => `${bytes.length} bytes of configuration at ${offset}`);
  }

  onQueue(queue: Virtqueue): void {
    for (let left = queue.size; left > 0; left--) {
      const chain = queue.take();
      if (chain === undefined) break;
      this.chains += 1;
      this.check(chain);
      if (this.#random.oneIn(this.#keeps)) this.#held.push([queue, chain]);
      else queue.put(chain, this.#look(chain));
    }
    if (this.#held.length > 12 || this.#random.oneIn(4)) this.putHeld();
    queue.signal();
  }

  putHeld(): void {
    for (const [queue, chain] of this.#held.splice(0)) queue.put(chain, chain.isOpen ? this.#look(chain) : 0);
  }

  reset(): void {
    if (this.#random.oneIn(2)) this.putHeld();
  }

  #look(chain: Chain): number {
    const { readableLength, writableLength } = chain;
    const read = chain.read(0, this.#bytes);
    promise(read === Math.min(readableLength, this.#bytes.length), () => `${read} of ${readableLength} bytes`);
    const most = Math.min(writableLength, this.#bytes.length);
    const views = chain.writableViews(writableLength - most);
    promise(views.reduce((sum, { length }) => sum + length, 0) === most, () => `views of ${writableLength} bytes`);
    chain.wrote(0, most);
    return chain.write(0, this.#bytes.subarray(0, this.#random.below(most + 1)));
  }
}

class RingSession {
  readonly #random: Random;
  readonly #packed: boolean;
  readonly #memory = new KvmMemory(MEMORY);
  readonly #device: Looking;
  #driver: ModelDriver;
  /** Chains since the driver began, and those of them that are back. */
  #added = 0;
  #back = 0;

  constructor(random: Random, packed: boolean) {
    this.#random = random;
    this.#packed = packed;
    this.#device = new Looking(random);
    this.#driver = this.#begin();
    this.#device.check = chain => this.#check(chain);
  }

  input(): Verdict {
    const random = this.#random;
    const driver = this.#driver;
    const before = this.#device.chains;
    const size = driver.choice.size;
    const indirect = driver.choice.indirect && random.oneIn(2);
    const count = 1 + random.below(Math.min(4, indirect ? 4 : size));
    if (driver.room < count) {
      this.#driver = this.#begin(driver);
      return this.input();
    }
    const writable = random.below(count + 1);
    const segment = (): Segment => ({
      at: LAYOUT.BUFFERS + random.below(0x1_0000),
      length: 1 + random.below(random.oneIn(8) ? 5000 : 64),
    });
    driver.add(Array.from({ length: count - writable }, segment), Array.from({ length: writable }, segment), indirect);
    const damaged = random.oneIn(2);
    if (damaged) this.#damage();
    const ahead = (this.#memory.readObj(LAYOUT.DRIVER + 2, u16le) - this.#added) & 0xffff;
    this.#added += 1;
    driver.set(MMIO.QUEUE_NOTIFY, 0);
    const refused = (driver.mmio.status & STATUS.NEEDS_RESET) !== 0;
    promise(refused === driver.faults.length > 0, () => `faults: ${driver.faults.join(', ')}`);
    promise(damaged || !refused, () => `a driver that keeps to the rules: ${driver.faults.join(', ')}`);
    const seen = this.#device.chains > before;
    promise(damaged || seen, () => 'a chain was not seen');
    promise(refused || this.#packed || ahead <= size, () => `${ahead} chains in a ring of ${size}`);
    // A chain of a packed ring has as many of its descriptors as slots.
    const held = this.#device.held.reduce((slots, chain) => slots + (this.#packed ? chain.slots : 1), 0);
    promise(held <= size, () => `${held} at once of a ring of ${size}`);
    // What was damaged may have any ids: only a driver that kept to the rules looks at what was used.
    if (damaged || refused) this.#driver = this.#begin(driver);
    else {
      this.#back += driver.collect().length;
      const kept = this.#device.held.length;
      promise(this.#added - this.#back === kept, () => `${this.#added} chains, ${this.#back} back, ${kept} kept`);
    }
    return seen && !refused ? 'accepted' : 'refused';
  }

  finish(): void {
    this.#memory[Symbol.dispose]();
  }

  /** A driver that begins anew, at a device that the one before has let go of. */
  #begin(before?: ModelDriver): ModelDriver {
    const random = this.#random;
    before?.set(MMIO.STATUS, 0);
    this.#added = 0;
    this.#back = 0;
    const size = this.#packed ? 1 + random.below(16) : 1 << random.below(5);
    const choice: RingChoice = { packed: this.#packed, eventIndex: random.oneIn(2), indirect: random.oneIn(2), size };
    // Behind the table stays what a longer one had: descriptors that a walk beyond its end would like.
    this.#memory.memset(LAYOUT.DESCRIPTORS, 0, 16 * size);
    this.#memory.memset(LAYOUT.DRIVER, 0, RINGS_END - LAYOUT.DRIVER);
    const driver = new ModelDriver(this.#device, this.#memory, choice).setUp();
    promise(driver.mmio.status === READY, () => `a reset does not bring it back: ${driver.mmio.status}`);
    return driver;
  }

  /** What a chain says of itself, beside what lies in memory: read naively, with every rule looked at again. */
  #check(chain: Chain): void {
    // In a packed ring, where a chain begins is the device's to know: its parts are checked by the driver's rules alone.
    if (this.#packed) return;
    const { indirect, size } = this.#driver.choice;
    const lengths = [0, 0];
    let table: number = LAYOUT.DESCRIPTORS;
    let entries = size;
    let index = chain.id;
    for (let steps = 0; ; steps++) {
      promise(index < entries && steps <= size + entries, () => `descriptor ${index} of ${entries}, step ${steps}`);
      const at = table + 16 * index;
      const address = this.#memory.readObj(at, u64le);
      const length = this.#memory.readObj(at + 8, u32le);
      const flags = this.#memory.readObj(at + 12, u16le);
      if ((flags & 4) !== 0) {
        promise(indirect && table === LAYOUT.DESCRIPTORS && (flags & 1) === 0, () => `a table, flags ${flags}`);
        promise(length > 0 && length % 16 === 0, () => `a table of ${length} bytes`);
        table = Number(address);
        entries = length / 16;
        index = 0;
        continue;
      }
      const isWritable = (flags & 2) !== 0;
      promise(length > 0 && address + BigInt(length) <= BigInt(MEMORY), () => `${length} bytes at ${address}`);
      promise(isWritable || lengths[1] === 0, () => 'to be read, behind what is to be written');
      lengths[isWritable ? 1 : 0] = (lengths[isWritable ? 1 : 0] ?? 0) + length;
      if ((flags & 1) === 0) break;
      index = this.#memory.readObj(at + 14, u16le);
    }
    const { readableLength, writableLength } = chain;
    promise(readableLength === lengths[0] && writableLength === lengths[1], () => `it has ${lengths} bytes`);
  }

  #damage(): void {
    const random = this.#random;
    const { size } = this.#driver.choice;
    if (!this.#packed && random.oneIn(4)) {
      // Heads that the device has already, or had.
      this.#memory.writeObj(LAYOUT.DRIVER + 2, u16le, (this.#added + 1 + random.below(size)) & 0xffff);
      return;
    }
    if (this.#packed && random.oneIn(4)) {
      // Descriptors that the device has already, or had, in the order of one lap or the other.
      const flags = random.pick([0x80, 0x8000]);
      for (let i = random.below(size); i < size; i++)
        this.#memory.writeObj(LAYOUT.DESCRIPTORS + 16 * i + 14, u16le, flags | random.pick([0, 2]));
      return;
    }
    const [at, length] = random.pick([
      [LAYOUT.DESCRIPTORS, 16 * size],
      [LAYOUT.DESCRIPTORS, 16 * size],
      [LAYOUT.TABLES + 512 * random.below(size), 64],
      [LAYOUT.DRIVER, 8 + 2 * size],
      [LAYOUT.DEVICE, 8 + 8 * size],
    ] as const);
    const bytes = new Uint8Array(length);
    this.#memory.read(at, bytes);
    damage(random, bytes, { near: [LAYOUT.BUFFERS, LAYOUT.TABLES, MEMORY, MEMORY - 16, size] });
    this.#memory.write(at, bytes);
  }
}

export const splitRing: Parser = { name: 'split ring', open: random => new RingSession(random, false) };
export const packedRing: Parser = { name: 'packed ring', open: random => new RingSession(random, true) };

/** What a driver writes to set a device up: steps that are left out, repeated, swapped, or get other values. */
function steps(random: Random): [register: number, value: number][] {
  const features = VIRTIO_F.VERSION_1 | (random.oneIn(2) ? VIRTIO_F.RING_PACKED : 0n) | VIRTIO_F.EVENT_IDX | 1n;
  const queue = (index: number): [number, number][] => [
    [MMIO.QUEUE_SEL, index],
    [MMIO.QUEUE_SIZE, 1 << random.below(5)],
    [MMIO.QUEUE_DESC_LOW, LAYOUT.DESCRIPTORS + index * 0x1_0000],
    [MMIO.QUEUE_DRIVER_LOW, LAYOUT.DRIVER + index * 0x1_0000],
    [MMIO.QUEUE_DEVICE_LOW, LAYOUT.DEVICE + index * 0x1_0000],
    [MMIO.QUEUE_READY, 1],
  ];
  const all: [number, number][] = [
    [MMIO.STATUS, 0],
    [MMIO.STATUS, STATUS.ACKNOWLEDGE],
    [MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER],
    [MMIO.DRIVER_FEATURES_SEL, 1],
    [MMIO.DRIVER_FEATURES, Number(features >> 32n)],
    [MMIO.DRIVER_FEATURES_SEL, 0],
    [MMIO.DRIVER_FEATURES, Number(features & 0xffff_ffffn)],
    [MMIO.STATUS, READY & ~STATUS.DRIVER_OK],
    ...queue(0),
    ...queue(1),
    [MMIO.STATUS, READY],
    [MMIO.QUEUE_NOTIFY, 0],
    [MMIO.QUEUE_NOTIFY, 1],
    [MMIO.INTERRUPT_ACK, 3],
  ];
  for (let left = random.below(4); left > 0; left--) {
    const at = random.below(all.length);
    const [register] = all[at] as [number, number];
    const kind = random.below(5);
    if (kind === 0) all.splice(at, 1);
    else if (kind === 1) all.splice(random.below(all.length), 0, [register, oddWord(random, [READY, MEMORY])]);
    else if (kind === 2) all[at] = [register, oddWord(random, [READY, MEMORY, LAYOUT.DEVICE])];
    else if (kind === 3) all.splice(at, 0, [4 * random.below(0x48), oddWord(random)]);
    else all.splice(random.below(all.length), 0, ...all.splice(at, 1));
  }
  return all;
}

/** Register sequences. */
export const registers: Parser = {
  name: 'registers',
  open(random) {
    const memory = new KvmMemory(MEMORY);
    const faults: string[] = [];
    let raised = 0;
    const interrupt = { raise: () => (raised += 1) };
    const mmio = new VirtioMmio(new Looking(random), { memory, interrupt, onFault: reason => faults.push(reason) });
    const get = (register: number) => Number(mmio.read(register, 4));
    for (const base of [0, 0x1_0000]) {
      // One buffer to write, in the words of either kind of ring: flags and `next` of the split one, id and flags of the packed one.
      memory.writeObj(base + LAYOUT.DESCRIPTORS, u64le, BigInt(LAYOUT.BUFFERS));
      memory.writeObj(base + LAYOUT.DESCRIPTORS + 8, u32le, 64);
      memory.writeObj(base + LAYOUT.DESCRIPTORS + 12, u32le, 0x0082_0002);
    }
    return {
      input(): Verdict {
        // A ring that has something, now and then.
        for (const base of [0, 0x1_0000]) memory.writeObj(base + LAYOUT.DRIVER + 2, u16le, random.oneIn(4) ? 1 : 0);
        for (const [register, value] of steps(random)) {
          const size = random.oneIn(32) ? random.pick([1, 2, 3, 5, 8]) : 4;
          mmio.write(register, size, size > 4 ? BigInt(value) : value);
          const { status } = mmio;
          const isRunning = (status & STATUS.DRIVER_OK) !== 0;
          promise(!isRunning || (status & READY) === READY, () => `status ${status}`);
          const at = random.below(MMIO.CONFIG + 0x50);
          const width = random.pick([1, 2, 4, 8]);
          const read = mmio.read(at, width);
          promise(BigInt(read) >= 0n && BigInt(read) < 1n << BigInt(8 * width), () => `${at}/${width} is ${read}`);
        }
        const ready = get(MMIO.QUEUE_READY);
        promise(ready === 0 || ready === 1, () => `QUEUE_READY is ${ready}`);
        const accepted = mmio.status === READY;
        mmio.write(MMIO.STATUS, 4, 0);
        const after = [MMIO.STATUS, MMIO.QUEUE_READY, MMIO.INTERRUPT_STATUS].map(get);
        promise(
          after.every(value => value === 0),
          () => `behind a reset: ${after}`,
        );
        memory.memset(LAYOUT.DEVICE, 0, 0x100);
        return accepted ? 'accepted' : 'refused';
      },
      finish() {
        promise(raised >= 0 && faults.every(reason => reason !== ''), () => 'faults without a reason');
        memory[Symbol.dispose]();
      },
    };
  },
};

// The split ring (VIRTIO 1.2, 2.7): a table of descriptors, a ring of heads from the driver, a ring of used ones to it.
// Device's thread; pure. Everything in it is the guest's to change at any time: each word is read once and then checked.

import { u16le, u32le } from '../layout.ts';
import { type Chain, QueueFault } from './chain.ts';
import {
  checkArea,
  DESCRIPTOR,
  DESCRIPTOR_INDIRECT,
  DESCRIPTOR_NEXT,
  DESCRIPTOR_WRITE,
  Descriptor,
  indirectEntries,
  loadWord,
  passed,
  RING_SIZE_MAX,
  type Ring,
  type RingOptions,
  storeWord,
} from './ring.ts';

// Both rings: flags and an index, 16 bits each, then the entries, then one word of event suppression.
const INDEX = 2;
const ENTRIES = 4;
const USED_ENTRY = 8;
const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

export class SplitRing implements Ring {
  readonly #ring: RingOptions;
  readonly #descriptor = new Descriptor();
  /** The driver's index as we saw it last, and the next entry that is ours to take. Both count from 0 to 0xffff. */
  #available = 0;
  #next = 0;
  #used = 0;
  #inFlight = 0;
  /** Put since the driver was last asked whether it wants an interrupt. */
  #unsignalled = 0;

  /** @throws QueueFault for a size or an area that cannot be */
  constructor(options: RingOptions) {
    const { memory, size, descriptors, driver, device } = options;
    if (size < 1 || size > RING_SIZE_MAX || (size & (size - 1)) !== 0)
      throw new QueueFault(`a split ring of ${size} entries`);
    checkArea(memory, { name: 'descriptors', at: descriptors, bytes: size * DESCRIPTOR, align: 16 }, false);
    checkArea(memory, { name: 'available entries', at: driver, bytes: ENTRIES + 2 * size + 2, align: 2 }, false);
    checkArea(memory, { name: 'used entries', at: device, bytes: ENTRIES + USED_ENTRY * size + 2, align: 4 }, true);
    this.#ring = options;
  }

  take(chain: Chain): boolean {
    const { memory, size, driver } = this.#ring;
    if (this.#next === this.#available) {
      const available = loadWord(memory, driver + INDEX);
      if (available === this.#next) return false;
      const ahead = (available - this.#next) & 0xffff;
      if (ahead > size) throw new QueueFault(`${ahead} available entries in a ring of ${size}`);
      this.#available = available;
    }
    // A driver that keeps to the rules has no descriptor left then.
    if (this.#inFlight === size) throw new QueueFault(`more than ${size} chains at once`);
    const head = memory.readObj(driver + ENTRIES + 2 * (this.#next & (size - 1)), u16le);
    chain.begin();
    this.#walk(chain, head);
    chain.id = head;
    this.#next = (this.#next + 1) & 0xffff;
    this.#inFlight += 1;
    return true;
  }

  put(chain: Chain, written: number): void {
    const { memory, size, device } = this.#ring;
    const entry = device + ENTRIES + USED_ENTRY * (this.#used & (size - 1));
    memory.writeObj(entry, u32le, chain.id);
    memory.writeObj(entry + 4, u32le, written);
    this.#used = (this.#used + 1) & 0xffff;
    // The entry, and what was written to the buffers, is visible before the index is.
    storeWord(memory, device + INDEX, this.#used);
    this.#inFlight -= 1;
    this.#unsignalled += 1;
  }

  needsInterrupt(): boolean {
    const { memory, size, driver, eventIndex } = this.#ring;
    const count = this.#unsignalled;
    if (count === 0) return false;
    this.#unsignalled = 0;
    // After the store of the used index, which is a full fence.
    if (!eventIndex) return (loadWord(memory, driver) & NO_INTERRUPT) === 0;
    const event = loadWord(memory, driver + ENTRIES + 2 * size);
    return count > RING_SIZE_MAX || passed(event, this.#used, this.#used - count);
  }

  arm(): void {
    const { memory, size, device, eventIndex } = this.#ring;
    if (eventIndex) storeWord(memory, device + ENTRIES + USED_ENTRY * size, this.#next);
    else storeWord(memory, device, 0);
  }

  disarm(): void {
    // With an event index there is nothing to do: the driver notifies when it passes the index that arm() stored, and that is behind.
    const { memory, device, eventIndex } = this.#ring;
    if (!eventIndex) storeWord(memory, device, NO_NOTIFY);
  }

  /** Copies the chain that begins at `head`. A loop ends where it is longer than its table. */
  #walk(chain: Chain, head: number): void {
    const { memory } = this.#ring;
    const descriptor = this.#descriptor;
    let table = this.#ring.descriptors;
    let entries = this.#ring.size;
    let inTable = false;
    let index = head;
    for (let left = entries; ; left--) {
      if (index >= entries) throw new QueueFault(`descriptor ${index} of a table of ${entries}`);
      if (left === 0) throw new QueueFault('a chain that is longer than its table: a loop');
      descriptor.load(memory, table + DESCRIPTOR * index);
      const flags = descriptor.tail & 0xffff;
      if ((flags & DESCRIPTOR_INDIRECT) !== 0) {
        if (inTable) throw new QueueFault('an indirect descriptor in an indirect table');
        entries = indirectEntries(this.#ring, descriptor, flags);
        table = descriptor.address;
        inTable = true;
        index = 0;
        left = entries + 1;
        continue;
      }
      chain.add(descriptor.address, descriptor.length, (flags & DESCRIPTOR_WRITE) !== 0);
      if ((flags & DESCRIPTOR_NEXT) === 0) return;
      index = descriptor.tail >>> 16;
    }
  }
}

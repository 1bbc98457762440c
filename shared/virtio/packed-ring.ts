// The packed ring (VIRTIO 1.2, 2.8): one ring of descriptors that driver and device overwrite in turns, told apart by two flags
// and a wrap counter on each side. Device's thread; pure. Everything in it is the guest's to change at any time: each
// word is read once and then checked.

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

const LENGTH = 8;
const ID = 12;
const FLAGS = 14;
const AVAILABLE = 0x80;
const USED = 0x8000;
/** Event suppression, 4 bytes: offset and wrap counter of a descriptor, then flags. */
const EVENT_BYTES = 4;
const EVENT_FLAGS = 2;
const EVENTS_ON = 0;
const EVENTS_OFF = 1;
const EVENTS_AT = 2;

export class PackedRing implements Ring {
  readonly #ring: RingOptions;
  readonly #descriptor = new Descriptor();
  // Where the driver's next descriptor will be, and where our next used one goes; each with its side's wrap counter.
  #next = 0;
  #wrap = true;
  #usedNext = 0;
  #usedWrap = true;
  /** Slots of chains that the device has. */
  #inFlight = 0;
  /** Slots put since the driver was last asked whether it wants an interrupt. */
  #unsignalled = 0;

  /** @throws QueueFault for a size or an area that cannot be */
  constructor(options: RingOptions) {
    const { memory, size, descriptors, driver, device } = options;
    if (size < 1 || size > RING_SIZE_MAX) throw new QueueFault(`a packed ring of ${size} entries`);
    checkArea(memory, { name: 'descriptors', at: descriptors, bytes: size * DESCRIPTOR, align: 16 }, true);
    checkArea(memory, { name: "driver's events", at: driver, bytes: EVENT_BYTES, align: 4 }, false);
    checkArea(memory, { name: "device's events", at: device, bytes: EVENT_BYTES, align: 4 }, true);
    this.#ring = options;
  }

  take(chain: Chain): boolean {
    const { memory, size, descriptors } = this.#ring;
    const descriptor = this.#descriptor;
    let index = this.#next;
    let wrap = this.#wrap;
    // The flags first, atomically: the rest of a descriptor counts only when they say that it is ours.
    let flags = loadWord(memory, descriptors + DESCRIPTOR * index + FLAGS);
    if (!isAvailable(flags, wrap)) return false;
    chain.begin();
    for (let slots = 1; ; slots++) {
      if (this.#inFlight + slots > size) throw new QueueFault(`more than the ${size} descriptors of the ring`);
      descriptor.load(memory, descriptors + DESCRIPTOR * index);
      // The flags of the first reading count, and not what they may have become; the id is in the other half.
      const id = descriptor.tail & 0xffff;
      if ((flags & DESCRIPTOR_INDIRECT) !== 0) this.#addIndirect(chain, flags);
      else chain.add(descriptor.address, descriptor.length, (flags & DESCRIPTOR_WRITE) !== 0);
      index += 1;
      if (index === size) {
        index = 0;
        wrap = !wrap;
      }
      if ((flags & DESCRIPTOR_NEXT) === 0) {
        // The last descriptor of a chain has its id.
        chain.id = id;
        chain.slots = slots;
        this.#inFlight += slots;
        this.#next = index;
        this.#wrap = wrap;
        return true;
      }
      flags = loadWord(memory, descriptors + DESCRIPTOR * index + FLAGS);
      if (!isAvailable(flags, wrap)) throw new QueueFault(`descriptor ${index} of a chain is not available`);
    }
  }

  put(chain: Chain, written: number): void {
    const { memory, size, descriptors } = this.#ring;
    const at = descriptors + DESCRIPTOR * this.#usedNext;
    memory.writeObj(at + LENGTH, u32le, written);
    memory.writeObj(at + ID, u16le, chain.id);
    // Length, id, and what was written to the buffers, are visible before the flags are.
    storeWord(memory, at + FLAGS, (written > 0 ? DESCRIPTOR_WRITE : 0) | (this.#usedWrap ? AVAILABLE | USED : 0));
    this.#usedNext += chain.slots;
    if (this.#usedNext >= size) {
      this.#usedNext -= size;
      this.#usedWrap = !this.#usedWrap;
    }
    this.#inFlight -= chain.slots;
    this.#unsignalled += chain.slots;
  }

  needsInterrupt(): boolean {
    const { memory, size, driver, eventIndex } = this.#ring;
    const count = this.#unsignalled;
    if (count === 0) return false;
    this.#unsignalled = 0;
    // After the store of the used flags, which is a full fence; offset and flags in one load.
    const suppression = memory.atomics.load(driver, u32le);
    const mode = (suppression >>> 16) & 3;
    if (mode === EVENTS_OFF) return false;
    if (mode !== EVENTS_AT || !eventIndex || count >= size) return true;
    // Counted from the current lap: an event of the lap before lies below zero.
    const sameLap = ((suppression & 0x8000) !== 0) === this.#usedWrap;
    const event = (suppression & 0x7fff) - (sameLap ? 0 : size);
    return passed(event, this.#usedNext, this.#usedNext - count);
  }

  arm(): void {
    storeWord(this.#ring.memory, this.#ring.device + EVENT_FLAGS, EVENTS_ON);
  }

  disarm(): void {
    storeWord(this.#ring.memory, this.#ring.device + EVENT_FLAGS, EVENTS_OFF);
  }

  /** The table that the descriptor names, all of it in order; its entries have no `next`. */
  #addIndirect(chain: Chain, tableFlags: number): void {
    const { memory } = this.#ring;
    const descriptor = this.#descriptor;
    const entries = indirectEntries(this.#ring, descriptor, tableFlags);
    const table = descriptor.address;
    for (let i = 0; i < entries; i++) {
      descriptor.load(memory, table + DESCRIPTOR * i);
      const flags = descriptor.tail >>> 16;
      if ((flags & DESCRIPTOR_INDIRECT) !== 0) throw new QueueFault('an indirect descriptor in an indirect table');
      chain.add(descriptor.address, descriptor.length, (flags & DESCRIPTOR_WRITE) !== 0);
    }
  }
}

/** The driver's flag equals its wrap counter, and the device's differs. */
function isAvailable(flags: number, wrap: boolean): boolean {
  return ((flags & AVAILABLE) !== 0) === wrap && ((flags & USED) !== 0) !== wrap;
}

// An I/O APIC: 24 pins, each with an entry that says which interrupt message its signal becomes. Runs on any thread; pure: it is told of the
// pins' levels and of ends of interrupts, and says which messages to send. Sources: Intel 82093AA datasheet (registers, redirection table); ICH9
// datasheet, APIC registers (version 0x20 with its EOI register); Intel SDM volume 3, 11.11 (format of messages).

/** A write to the LAPICs: what KVM_SIGNAL_MSI and a GSI's route take. */
export interface InterruptMessage {
  readonly address: number;
  readonly data: number;
}

/** Where messages go. */
export interface IoapicOutput {
  /** Sends a message now. False: nobody is there to take it. */
  send(message: InterruptMessage): boolean;
  /** From now on `messages[pin]` is what a signal that bypasses this model (an irqfd) becomes; undefined: it is lost. */
  route(messages: readonly (InterruptMessage | undefined)[]): void;
}

/** Where PCs, and KVM's own, have their first. */
export const IOAPIC_ADDR = 0xfec0_0000;
export const IOAPIC_PINS = 24;
/** Bytes of registers. */
export const IOAPIC_SIZE = 0x100;

// Registers in memory.
const SELECT = 0x00;
const WINDOW = 0x10;
/** A write of a vector ends its level-triggered interrupts. */
export const IOAPIC_EOI = 0x40;

// Registers behind the window.
const ID = 0x00;
const VERSION = 0x01;
const ARBITRATION = 0x02;
const TABLE = 0x10;

/** The first with an EOI register; bits 23–16: the highest entry. */
const VERSION_VALUE = 0x20 | ((IOAPIC_PINS - 1) << 16);
const ID_BITS = 0x0f00_0000;

// The lower half of an entry: vector 7–0, delivery mode 10–8, logical destination 11, delivery status 12 (always 0: messages are sent at once),
// active low 13 (stored only: a pin here is asserted or not), remote IRR 14, level 15, masked 16. The upper half: destination 31–24.
const MODE_SHIFT = 8;
const LOGICAL = 1 << 11;
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const WRITABLE_LOW = 0x1_afff;
const WRITABLE_HIGH = 0xff00_0000;

/** Fixed, lowest priority, SMI, NMI, INIT. The others are reserved, or an 8259's (ExtINT), which there is none of. */
const MODES = [0, 1, 2, 4, 5];
const FIXED = 0;
const LOWEST_PRIORITY = 1;

const MESSAGE_BASE = 0xfee0_0000;
const MESSAGE_LOGICAL = 1 << 2;
const MESSAGE_REDIRECT = 1 << 3;
const MESSAGE_ASSERT = 1 << 14;
const MESSAGE_LEVEL = 1 << 15;

export class Ioapic {
  readonly #output: IoapicOutput;
  readonly #low = new Uint32Array(IOAPIC_PINS).fill(MASKED);
  readonly #high = new Uint32Array(IOAPIC_PINS);
  /** Levels of the pins, one bit each. */
  #lines = 0;
  #select = 0;
  #id = 0;
  /** As the output was told last, to tell it of changes only. */
  #routes: readonly (InterruptMessage | undefined)[] = new Array<undefined>(IOAPIC_PINS).fill(undefined);

  constructor(output: IoapicOutput) {
    this.#output = output;
  }

  /** Registers answer accesses of 32 bits; the register select, which is narrower, any. All else reads as 0. */
  read(offset: number, size: number): number {
    if (offset === SELECT) return this.#select;
    if (offset !== WINDOW || size !== 4) return 0;
    switch (this.#select) {
      case ID:
      case ARBITRATION:
        return this.#id;
      case VERSION:
        return VERSION_VALUE;
      default: {
        const half = this.#select & 1 ? this.#high : this.#low;
        return half[(this.#select - TABLE) >> 1] ?? 0;
      }
    }
  }

  /** `value`: its lower 32 bits count. What is read-only or not there is left alone. */
  write(offset: number, size: number, value: number): void {
    if (offset === SELECT) this.#select = value & 0xff;
    else if (offset === IOAPIC_EOI) this.eoi(value & 0xff);
    else if (offset === WINDOW && size === 4) this.#writeRegister(value);
  }

  #writeRegister(value: number): void {
    if (this.#select === ID) this.#id = value & ID_BITS;
    const pin = (this.#select - TABLE) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if (this.#select & 1) this.#high[pin] = value & WRITABLE_HIGH;
    else {
      // An edge has no remote IRR: drivers clear a stuck one by making the pin an edge and a level again.
      const kept = isLevel(value) ? this.#lowOf(pin) & REMOTE_IRR : 0;
      this.#low[pin] = (value & WRITABLE_LOW) | kept;
    }
    this.#service(pin);
    this.#publish();
  }

  /** The device at `pin` asserts its line, or not. An edge at a masked pin is lost; a level waits. Pins that are not there have no effect. */
  setLine(pin: number, asserted: boolean): void {
    if (!(pin >= 0 && pin < IOAPIC_PINS)) return;
    const bit = 1 << pin;
    const rises = asserted && (this.#lines & bit) === 0;
    this.#lines = asserted ? this.#lines | bit : this.#lines & ~bit;
    if (isLevel(this.#lowOf(pin))) {
      this.#service(pin);
      this.#publish();
    } else if (rises && (this.#lowOf(pin) & MASKED) === 0) this.#send(pin);
  }

  /** A LAPIC ends the interrupt with this vector: of the levels that sent it, those still asserted send it again. */
  eoi(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.#lowOf(pin);
      if ((low & REMOTE_IRR) === 0 || (low & 0xff) !== vector) continue;
      this.#low[pin] = low & ~REMOTE_IRR;
      this.#service(pin);
    }
    this.#publish();
  }

  #lowOf(pin: number): number {
    return this.#low[pin] ?? MASKED;
  }

  /** A level that is asserted, not masked and not under way is sent. */
  #service(pin: number): void {
    const low = this.#lowOf(pin);
    if (!isLevel(low) || (low & (MASKED | REMOTE_IRR)) !== 0 || ((this.#lines >> pin) & 1) === 0) return;
    if (this.#send(pin)) this.#low[pin] = low | REMOTE_IRR;
  }

  #send(pin: number): boolean {
    const message = this.#message(pin);
    return message !== undefined && this.#output.send(message);
  }

  #message(pin: number): InterruptMessage | undefined {
    const low = this.#lowOf(pin);
    const mode = modeOf(low);
    if (!MODES.includes(mode)) return undefined;
    const destination = (this.#high[pin] ?? 0) >>> 24;
    const logical = low & LOGICAL ? MESSAGE_LOGICAL : 0;
    const redirect = mode === LOWEST_PRIORITY ? MESSAGE_REDIRECT : 0;
    return {
      address: (MESSAGE_BASE | (destination << 12) | logical | redirect) >>> 0,
      data: (low & 0xff) | (mode << MODE_SHIFT) | MESSAGE_ASSERT | (isLevel(low) ? MESSAGE_LEVEL : 0),
    };
  }

  /**
   * A pin that is masked has no message, but for a level that is under way: who watches for its end knows the vector by the route. No signal
   * comes through it meanwhile, since remote IRR is set for pins that setLine() drives, and those have no irqfd.
   */
  #publish(): void {
    const routes = Array.from(this.#low, (low, pin) =>
      (low & MASKED) === 0 || (low & REMOTE_IRR) !== 0 ? this.#message(pin) : undefined,
    );
    const changed = routes.some((message, pin) => {
      const before = this.#routes[pin];
      return message?.address !== before?.address || message?.data !== before?.data;
    });
    if (!changed) return;
    this.#routes = routes;
    this.#output.route(routes);
  }
}

const modeOf = (low: number) => (low >> MODE_SHIFT) & 7;

/** SMI, NMI and INIT are edges whatever the entry says: nothing ends them. */
function isLevel(low: number): boolean {
  return (low & LEVEL) !== 0 && (modeOf(low) === FIXED || modeOf(low) === LOWEST_PRIORITY);
}

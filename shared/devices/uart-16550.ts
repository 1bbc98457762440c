// A 16550A serial port: eight byte-wide registers and two FIFOs of 16 bytes. Runs on every thread, on one at a time; pure.
// There is no line and no clock behind it. A byte that is written leaves at once if the sink takes it; a byte that is received is
// there at once; the receiver's time-out, four idle characters on a line, has always passed already.
// Source: National Semiconductor PC16550D data sheet; register names are Linux's (serial_reg.h).

import type { DeviceHandlers, DeviceValue } from '../device.ts';
import type { Interrupt } from './interrupt.ts';

const FIFO_SIZE = 16;
/** Bytes in the receiver's FIFO from which on it reports data, by the top two bits of FCR. */
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

/** Registers by offset. With LCR's DLAB set, 0 and 1 are the divisor. */
export const UART = { DATA: 0, IER: 1, IIR: 2, FCR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const;

export const IER = { RECEIVED: 0x01, TRANSMITTER_EMPTY: 0x02, LINE_STATUS: 0x04, MODEM_STATUS: 0x08 } as const;
const IER_MASK = 0x0f;

/** What IIR's low four bits say, highest priority first. */
export const IIR = {
  LINE_STATUS: 0x06,
  RECEIVED: 0x04,
  TIMEOUT: 0x0c,
  TRANSMITTER_EMPTY: 0x02,
  MODEM_STATUS: 0,
  NONE: 1,
};
const IIR_FIFOS_ENABLED = 0xc0;

export const FCR = { ENABLE: 0x01, CLEAR_RECEIVER: 0x02, CLEAR_TRANSMITTER: 0x04 } as const;
export const LCR_DLAB = 0x80;
export const MCR = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, LOOP: 0x10 } as const;
const MCR_MASK = 0x1f;
export const LSR = { DATA_READY: 0x01, OVERRUN: 0x02, TRANSMITTER_EMPTY: 0x20, TRANSMITTER_IDLE: 0x40 } as const;
export const MSR = { CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80 } as const;
/** Changes since MSR was read are in its low half; ring indicator reports its falling edge only. */
const MSR_DELTA = { CTS: 0x01, DSR: 0x02, RI_FALLEN: 0x04, DCD: 0x08 } as const;

export interface UartOptions {
  /** A byte leaves. False: there is no room, and it stays here until `resume()`; the guest then sees a full transmitter. */
  transmit(byte: number): boolean;
  /** The receiver has room again: `receive()` will take bytes. Called while the guest's access is handled. */
  onRoom?(): void;
  /**
   * Once, while the guest's access is handled: a driver enables the interrupt of received data, which it does when somebody opens the
   * port. (All four interrupts at once are a probe of the chip.)
   */
  onOpen?(): void;
  readonly interrupt: Interrupt;
}

/**
 * Where everything that the chip remembers lies: words of an array, which may be shared memory. Then several threads may have a Uart16550 over
 * the same words, as long as one of them is in it at a time.
 */
const WORD = {
  DIVISOR: 0,
  IER: 1,
  /** FIFOs are enabled. */
  FIFOS: 2,
  TRIGGER: 3,
  LCR: 4,
  MCR: 5,
  SCRATCH: 6,
  /** LSR's error bits, until it is read. */
  ERRORS: 7,
  /** MSR's low half: what changed since it was read. */
  DELTAS: 8,
  /** "Transmitter empty" is an event: it goes when IIR has reported it, or with the next byte. */
  EMPTIED: 9,
  LINE: 10,
  OPENED: 11,
  RECEIVER: 12,
  TRANSMITTER: 30,
} as const;
export const UART_WORDS = 48;

/** A chip that has just been reset. `words`: UART_WORDS of them, all zero. */
export function resetUart(words: Int32Array): void {
  // 115,200 baud of a 1.8432 MHz clock, which nothing here depends on.
  words[WORD.DIVISOR] = 1;
  words[WORD.TRIGGER] = 1;
  words[WORD.LCR] = 0x03; // 8 bits, no parity, one stop bit
}

/** A ring of 16 bytes: its first one, how many there are, and they. */
class Fifo {
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(words: Int32Array, base: number) {
    this.#words = words;
    this.#base = base;
  }

  get length(): number {
    return this.#words[this.#base + 1] ?? 0;
  }

  push(byte: number): void {
    const words = this.#words;
    const length = this.length;
    words[this.#base + 2 + (((words[this.#base] ?? 0) + length) % FIFO_SIZE)] = byte;
    words[this.#base + 1] = length + 1;
  }

  /** The oldest byte; 0 when there is none. */
  get first(): number {
    return this.length === 0 ? 0 : (this.#words[this.#base + 2 + (this.#words[this.#base] ?? 0)] ?? 0);
  }

  shift(): number {
    const byte = this.first;
    const length = this.length;
    if (length > 0) {
      this.#words[this.#base] = ((this.#words[this.#base] ?? 0) + 1) % FIFO_SIZE;
      this.#words[this.#base + 1] = length - 1;
    }
    return byte;
  }

  clear(): void {
    this.#words[this.#base + 1] = 0;
  }
}

export class Uart16550 implements DeviceHandlers {
  readonly #options: UartOptions;
  readonly #words: Int32Array;
  readonly #receiver: Fifo;
  readonly #transmitter: Fifo;

  /** `words`: as resetUart() has left them, or a Uart16550 on another thread. Default: a chip of its own. */
  constructor(options: UartOptions, words?: Int32Array) {
    this.#options = options;
    this.#words = words ?? new Int32Array(UART_WORDS);
    if (words === undefined) resetUart(this.#words);
    this.#receiver = new Fifo(this.#words, WORD.RECEIVER);
    this.#transmitter = new Fifo(this.#words, WORD.TRANSMITTER);
  }

  /** Takes as many of `bytes` as the receiver has room for; returns how many. Never more than 16. */
  receive(bytes: Uint8Array): number {
    // In loopback mode the receiver is not connected to the line: nothing is lost, it waits.
    if ((this.#get(WORD.MCR) & MCR.LOOP) !== 0) return 0;
    const count = Math.min(bytes.length, this.#capacity - this.#receiver.length);
    for (let i = 0; i < count; i++) this.#receiver.push(bytes[i] ?? 0);
    this.#update();
    return Math.max(count, 0);
  }

  /** The sink takes bytes again: sends what has been waiting. */
  resume(): void {
    if (this.#transmitter.length === 0) return;
    this.#drain();
    this.#update();
  }

  read(offset: number, size: number): DeviceValue {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#readRegister(offset + i) * 2 ** (8 * i);
    return value;
  }

  write(offset: number, size: number, value: DeviceValue): void {
    // Ports are accessed with up to 4 bytes; each goes to a register of its own, as on a bus of 8 bits.
    const bits = Number(value);
    for (let i = 0; i < size; i++) this.#writeRegister(offset + i, (bits >>> (8 * i)) & 0xff);
  }

  #get(word: number): number {
    return this.#words[word] ?? 0;
  }

  #set(word: number, value: number): void {
    this.#words[word] = value;
  }

  #is(word: number): boolean {
    return this.#words[word] !== 0;
  }

  /** Bytes that each direction holds: one without the FIFOs. */
  get #capacity(): number {
    return this.#is(WORD.FIFOS) ? FIFO_SIZE : 1;
  }

  get #dlab(): boolean {
    return (this.#get(WORD.LCR) & LCR_DLAB) !== 0;
  }

  #readRegister(register: number): number {
    switch (register) {
      case UART.DATA:
        return this.#dlab ? this.#get(WORD.DIVISOR) & 0xff : this.#take();
      case UART.IER:
        return this.#dlab ? this.#get(WORD.DIVISOR) >>> 8 : this.#get(WORD.IER);
      case UART.IIR: {
        const source = this.#source();
        if (source === IIR.TRANSMITTER_EMPTY) {
          this.#set(WORD.EMPTIED, 0);
          this.#update();
        }
        return source | (this.#is(WORD.FIFOS) ? IIR_FIFOS_ENABLED : 0);
      }
      case UART.LCR:
        return this.#get(WORD.LCR);
      case UART.MCR:
        return this.#get(WORD.MCR);
      case UART.LSR: {
        const status = this.#lineStatus();
        this.#set(WORD.ERRORS, 0);
        this.#update();
        return status;
      }
      case UART.MSR: {
        const status = modemInputs(this.#get(WORD.MCR)) | this.#get(WORD.DELTAS);
        this.#set(WORD.DELTAS, 0);
        this.#update();
        return status;
      }
      case UART.SCR:
        return this.#get(WORD.SCRATCH);
      default:
        return 0xff;
    }
  }

  #writeRegister(register: number, value: number): void {
    switch (register) {
      case UART.DATA:
        if (this.#dlab) this.#set(WORD.DIVISOR, (this.#get(WORD.DIVISOR) & 0xff00) | value);
        else this.#send(value);
        break;
      case UART.IER:
        if (this.#dlab) this.#set(WORD.DIVISOR, (this.#get(WORD.DIVISOR) & 0x00ff) | (value << 8));
        else this.#enable(value & IER_MASK);
        break;
      case UART.FCR:
        this.#controlFifos(value);
        break;
      case UART.LCR:
        this.#set(WORD.LCR, value);
        break;
      case UART.MCR:
        this.#controlModem(value & MCR_MASK);
        break;
      case UART.SCR:
        this.#set(WORD.SCRATCH, value);
        break;
      default: // LSR and MSR: written by factory tests only, and read-only here
        return;
    }
    this.#update();
  }

  #take(): number {
    const byte = this.#receiver.shift();
    // Refilled before the line is looked at: a stream of input is one interrupt and a driver that goes on reading, not one a byte.
    if ((this.#get(WORD.MCR) & MCR.LOOP) === 0) this.#options.onRoom?.();
    this.#update();
    return byte;
  }

  #send(byte: number): void {
    this.#set(WORD.EMPTIED, 0);
    if ((this.#get(WORD.MCR) & MCR.LOOP) !== 0) {
      this.#loop(byte);
      return;
    }
    // A guest that does not look at LSR before it writes loses the byte, as on a chip whose FIFO is full.
    if (this.#transmitter.length < this.#capacity) this.#transmitter.push(byte);
    this.#drain();
  }

  /** Loopback: what is sent is received. */
  #loop(byte: number): void {
    if (this.#receiver.length < this.#capacity) this.#receiver.push(byte);
    else this.#set(WORD.ERRORS, this.#get(WORD.ERRORS) | LSR.OVERRUN);
    this.#set(WORD.EMPTIED, 1);
  }

  #drain(): void {
    while (this.#transmitter.length > 0) {
      if (!this.#options.transmit(this.#transmitter.first)) return;
      this.#transmitter.shift();
    }
    this.#set(WORD.EMPTIED, 1);
  }

  #enable(value: number): void {
    // Enabling the interrupt of an empty transmitter reports it (again): drivers start to send by this.
    const rising = value & ~this.#get(WORD.IER);
    this.#set(WORD.IER, value);
    if (!this.#is(WORD.OPENED) && (value & IER.RECEIVED) !== 0 && value !== IER_MASK) {
      this.#set(WORD.OPENED, 1);
      this.#options.onOpen?.();
    }
    if ((rising & IER.TRANSMITTER_EMPTY) !== 0 && this.#transmitter.length === 0) this.#set(WORD.EMPTIED, 1);
  }

  #controlFifos(value: number): void {
    const enable = (value & FCR.ENABLE) !== 0;
    const switched = enable !== this.#is(WORD.FIFOS);
    this.#set(WORD.FIFOS, enable ? 1 : 0);
    // The other bits count only with FIFOs enabled; switching between the modes clears both.
    if (switched || (enable && (value & FCR.CLEAR_TRANSMITTER) !== 0)) {
      if (this.#transmitter.length > 0) this.#set(WORD.EMPTIED, 1);
      this.#transmitter.clear();
    }
    // Not when they are switched on, though the data sheet has that too: a driver may do so some accesses after it has opened the port (Linux
    // does), and what was typed at once, which a line would still be carrying, would go.
    if ((switched && !enable) || (enable && (value & FCR.CLEAR_RECEIVER) !== 0)) this.#receiver.clear();
    this.#set(WORD.TRIGGER, enable ? (TRIGGER_LEVELS[value >>> 6] ?? 1) : 1);
    this.#options.onRoom?.();
  }

  #controlModem(value: number): void {
    const before = modemInputs(this.#get(WORD.MCR));
    const wasLooping = (this.#get(WORD.MCR) & MCR.LOOP) !== 0;
    this.#set(WORD.MCR, value);
    const after = modemInputs(value);
    const changed = before ^ after;
    if ((changed & MSR.CTS) !== 0) this.#set(WORD.DELTAS, this.#get(WORD.DELTAS) | MSR_DELTA.CTS);
    if ((changed & MSR.DSR) !== 0) this.#set(WORD.DELTAS, this.#get(WORD.DELTAS) | MSR_DELTA.DSR);
    if ((changed & before & MSR.RI) !== 0) this.#set(WORD.DELTAS, this.#get(WORD.DELTAS) | MSR_DELTA.RI_FALLEN);
    if ((changed & MSR.DCD) !== 0) this.#set(WORD.DELTAS, this.#get(WORD.DELTAS) | MSR_DELTA.DCD);
    if (wasLooping && (value & MCR.LOOP) === 0) this.#options.onRoom?.();
  }

  #lineStatus(): number {
    let status = this.#get(WORD.ERRORS);
    if (this.#receiver.length > 0) status |= LSR.DATA_READY;
    if (this.#transmitter.length === 0) status |= LSR.TRANSMITTER_EMPTY | LSR.TRANSMITTER_IDLE;
    return status;
  }

  /** The enabled interrupt of the highest priority that is pending, as IIR's low bits. */
  #source(): number {
    const ier = this.#get(WORD.IER);
    if ((ier & IER.LINE_STATUS) !== 0 && this.#get(WORD.ERRORS) !== 0) return IIR.LINE_STATUS;
    if ((ier & IER.RECEIVED) !== 0 && this.#receiver.length > 0)
      return this.#receiver.length >= this.#get(WORD.TRIGGER) ? IIR.RECEIVED : IIR.TIMEOUT;
    if ((ier & IER.TRANSMITTER_EMPTY) !== 0 && this.#is(WORD.EMPTIED)) return IIR.TRANSMITTER_EMPTY;
    if ((ier & IER.MODEM_STATUS) !== 0 && this.#get(WORD.DELTAS) !== 0) return IIR.MODEM_STATUS;
    return IIR.NONE;
  }

  /** The line is high while anything is pending. Boards gate it with OUT2; drivers set that always, and it is not asked here. */
  #update(): void {
    const line = this.#source() !== IIR.NONE;
    if (line === this.#is(WORD.LINE)) return;
    this.#set(WORD.LINE, line ? 1 : 0);
    if (line) this.#options.interrupt.raise();
    else this.#options.interrupt.lower?.();
  }
}

/** MSR's upper half: a peer that is always ready, or, in loopback mode, our own outputs. */
function modemInputs(mcr: number): number {
  if ((mcr & MCR.LOOP) === 0) return MSR.CTS | MSR.DSR | MSR.DCD;
  return (
    ((mcr & MCR.RTS) !== 0 ? MSR.CTS : 0) |
    ((mcr & MCR.DTR) !== 0 ? MSR.DSR : 0) |
    ((mcr & MCR.OUT1) !== 0 ? MSR.RI : 0) |
    ((mcr & MCR.OUT2) !== 0 ? MSR.DCD : 0)
  );
}

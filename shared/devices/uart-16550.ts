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

/** A ring of 16 bytes. */
class Fifo {
  readonly #bytes = new Uint8Array(FIFO_SIZE);
  #first = 0;
  length = 0;

  push(byte: number): void {
    this.#bytes[(this.#first + this.length) % FIFO_SIZE] = byte;
    this.length += 1;
  }

  /** The oldest byte; 0 when there is none. */
  get first(): number {
    return this.length === 0 ? 0 : (this.#bytes[this.#first] ?? 0);
  }

  shift(): number {
    const byte = this.first;
    if (this.length > 0) {
      this.#first = (this.#first + 1) % FIFO_SIZE;
      this.length -= 1;
    }
    return byte;
  }

  clear(): void {
    this.length = 0;
  }
}

export class Uart16550 implements DeviceHandlers {
  readonly #options: UartOptions;
  readonly #receiver = new Fifo();
  readonly #transmitter = new Fifo();
  // 115,200 baud of a 1.8432 MHz clock, which nothing here depends on.
  #divisor = 1;
  #ier = 0;
  #fifos = false;
  #trigger = 1;
  #lcr = 0x03; // 8 bits, no parity, one stop bit
  #mcr = 0;
  #scratch = 0;
  /** LSR's error bits, until it is read. */
  #errors = 0;
  /** MSR's low half: what changed since it was read. */
  #deltas = 0;
  /** "Transmitter empty" is an event: it goes when IIR has reported it, or with the next byte. */
  #emptied = false;
  #line = false;
  #opened = false;

  constructor(options: UartOptions) {
    this.#options = options;
  }

  /** Takes as many of `bytes` as the receiver has room for; returns how many. Never more than 16. */
  receive(bytes: Uint8Array): number {
    // In loopback mode the receiver is not connected to the line: nothing is lost, it waits.
    if ((this.#mcr & MCR.LOOP) !== 0) return 0;
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

  /** Bytes that each direction holds: one without the FIFOs. */
  get #capacity(): number {
    return this.#fifos ? FIFO_SIZE : 1;
  }

  get #dlab(): boolean {
    return (this.#lcr & LCR_DLAB) !== 0;
  }

  #readRegister(register: number): number {
    switch (register) {
      case UART.DATA:
        return this.#dlab ? this.#divisor & 0xff : this.#take();
      case UART.IER:
        return this.#dlab ? this.#divisor >>> 8 : this.#ier;
      case UART.IIR: {
        const source = this.#source();
        if (source === IIR.TRANSMITTER_EMPTY) {
          this.#emptied = false;
          this.#update();
        }
        return source | (this.#fifos ? IIR_FIFOS_ENABLED : 0);
      }
      case UART.LCR:
        return this.#lcr;
      case UART.MCR:
        return this.#mcr;
      case UART.LSR: {
        const status = this.#lineStatus();
        this.#errors = 0;
        this.#update();
        return status;
      }
      case UART.MSR: {
        const status = modemInputs(this.#mcr) | this.#deltas;
        this.#deltas = 0;
        this.#update();
        return status;
      }
      case UART.SCR:
        return this.#scratch;
      default:
        return 0xff;
    }
  }

  #writeRegister(register: number, value: number): void {
    switch (register) {
      case UART.DATA:
        if (this.#dlab) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#send(value);
        break;
      case UART.IER:
        if (this.#dlab) this.#divisor = (this.#divisor & 0x00ff) | (value << 8);
        else this.#enable(value & IER_MASK);
        break;
      case UART.FCR:
        this.#controlFifos(value);
        break;
      case UART.LCR:
        this.#lcr = value;
        break;
      case UART.MCR:
        this.#controlModem(value & MCR_MASK);
        break;
      case UART.SCR:
        this.#scratch = value;
        break;
      default: // LSR and MSR: written by factory tests only, and read-only here
        return;
    }
    this.#update();
  }

  #take(): number {
    const byte = this.#receiver.shift();
    // Refilled before the line is looked at: a stream of input is one interrupt and a driver that goes on reading, not one a byte.
    if ((this.#mcr & MCR.LOOP) === 0) this.#options.onRoom?.();
    this.#update();
    return byte;
  }

  #send(byte: number): void {
    this.#emptied = false;
    if ((this.#mcr & MCR.LOOP) !== 0) {
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
    else this.#errors |= LSR.OVERRUN;
    this.#emptied = true;
  }

  #drain(): void {
    while (this.#transmitter.length > 0) {
      if (!this.#options.transmit(this.#transmitter.first)) return;
      this.#transmitter.shift();
    }
    this.#emptied = true;
  }

  #enable(value: number): void {
    // Enabling the interrupt of an empty transmitter reports it (again): drivers start to send by this.
    const rising = value & ~this.#ier;
    this.#ier = value;
    if (!this.#opened && (value & IER.RECEIVED) !== 0 && value !== IER_MASK) {
      this.#opened = true;
      this.#options.onOpen?.();
    }
    if ((rising & IER.TRANSMITTER_EMPTY) !== 0 && this.#transmitter.length === 0) this.#emptied = true;
  }

  #controlFifos(value: number): void {
    const enable = (value & FCR.ENABLE) !== 0;
    const switched = enable !== this.#fifos;
    this.#fifos = enable;
    // The other bits count only with FIFOs enabled; switching between the modes clears both.
    if (switched || (enable && (value & FCR.CLEAR_TRANSMITTER) !== 0)) {
      if (this.#transmitter.length > 0) this.#emptied = true;
      this.#transmitter.clear();
    }
    if (switched || (enable && (value & FCR.CLEAR_RECEIVER) !== 0)) this.#receiver.clear();
    this.#trigger = enable ? (TRIGGER_LEVELS[value >>> 6] ?? 1) : 1;
    this.#options.onRoom?.();
  }

  #controlModem(value: number): void {
    const before = modemInputs(this.#mcr);
    const wasLooping = (this.#mcr & MCR.LOOP) !== 0;
    this.#mcr = value;
    const after = modemInputs(value);
    const changed = before ^ after;
    if ((changed & MSR.CTS) !== 0) this.#deltas |= MSR_DELTA.CTS;
    if ((changed & MSR.DSR) !== 0) this.#deltas |= MSR_DELTA.DSR;
    if ((changed & before & MSR.RI) !== 0) this.#deltas |= MSR_DELTA.RI_FALLEN;
    if ((changed & MSR.DCD) !== 0) this.#deltas |= MSR_DELTA.DCD;
    if (wasLooping && (value & MCR.LOOP) === 0) this.#options.onRoom?.();
  }

  #lineStatus(): number {
    let status = this.#errors;
    if (this.#receiver.length > 0) status |= LSR.DATA_READY;
    if (this.#transmitter.length === 0) status |= LSR.TRANSMITTER_EMPTY | LSR.TRANSMITTER_IDLE;
    return status;
  }

  /** The enabled interrupt of the highest priority that is pending, as IIR's low bits. */
  #source(): number {
    const ier = this.#ier;
    if ((ier & IER.LINE_STATUS) !== 0 && this.#errors !== 0) return IIR.LINE_STATUS;
    if ((ier & IER.RECEIVED) !== 0 && this.#receiver.length > 0)
      return this.#receiver.length >= this.#trigger ? IIR.RECEIVED : IIR.TIMEOUT;
    if ((ier & IER.TRANSMITTER_EMPTY) !== 0 && this.#emptied) return IIR.TRANSMITTER_EMPTY;
    if ((ier & IER.MODEM_STATUS) !== 0 && this.#deltas !== 0) return IIR.MODEM_STATUS;
    return IIR.NONE;
  }

  /** The line is high while anything is pending. Boards gate it with OUT2; drivers set that always, and it is not asked here. */
  #update(): void {
    const line = this.#source() !== IIR.NONE;
    if (line === this.#line) return;
    this.#line = line;
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

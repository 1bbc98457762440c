// The far side of a VM's serial port: the guest's console as a Node stream. Main thread. The chip is on the vCPUs' threads
// (src/workers/serial-device.ts); what both sides share, and how they wake each other, is shared/devices/serial-words.ts.
// Memory is bounded in both directions. Output waits in a ring of fixed size; input waits in the stream's own buffer, whose write() says
// when to stop, and enters the port's 16-byte FIFO as the guest reads it.

import { Duplex } from 'node:stream';
import type { PortRange } from '../../../shared/device.ts';
import type { Interrupt } from '../../../shared/devices/interrupt.ts';
import { createSerialWords, SERIAL_EVENT, SERIAL_TIMES, SerialWords } from '../../../shared/devices/serial-words.ts';
import { Uart16550 } from '../../../shared/devices/uart-16550.ts';
import { KIB } from '../../../shared/units.ts';

const REGISTERS = 8;
const BUFFER = 64 * KIB;

export interface SerialPortOptions {
  /** First of eight ports. */
  readonly base: number;
  /** An edge of the port's interrupt; `id` is the event's whose signal is one, for the vCPUs' threads. */
  readonly interrupt: Interrupt & { readonly id: number };
  /** Bytes of output that are kept while nobody reads. Default 64 KiB. */
  readonly buffer?: number;
  /**
   * What happens when they are full. 'drop' (default): the oldest bytes go, `console.dropped` counts them, and the guest never waits.
   * 'wait': the port says that its transmitter is full until somebody reads; a guest that sends all the same loses what it sends.
   */
  readonly whenFull?: 'drop' | 'wait';
}

/**
 * The far end of a serial port. Reading gives what the guest writes, writing is what the guest reads. An async iterator and pipes
 * are a Duplex's own; `Duplex.toWeb(console)` makes Web streams of it. It ends when the VM has; who destroys it (or leaves a loop over
 * it) loses the rest. Event 'open', once: a driver has opened the port for input. What is written earlier may be lost: drivers clear
 * the port while they look for it.
 */
export interface SerialConsole extends Duplex {
  /** Bytes of output that went because nobody read them. */
  readonly dropped: number;
}

export const serialPorts = (base: number): PortRange => ({ base, length: REGISTERS });

/** A port, without its registers. */
export class SerialPort {
  readonly pio: PortRange;
  /** What the guest's side is made over. */
  readonly state: SharedArrayBuffer;
  readonly #words: SerialWords;
  readonly #console: ConsoleStream;
  #opened = false;
  #hungUp = false;

  constructor({ base, interrupt, buffer = BUFFER, whenFull = 'drop' }: SerialPortOptions) {
    this.pio = serialPorts(base);
    this.state = createSerialWords(buffer, whenFull === 'wait');
    this.#words = new SerialWords(this.state);
    this.#words.times[SERIAL_EVENT] = interrupt.id;
    this.#console = new ConsoleStream(this.#words, interrupt);
    void this.#listen();
  }

  get console(): SerialConsole {
    return this.#console;
  }

  /** CLOCK_MONOTONIC in ns of the guest's first byte of output; 0: none yet. */
  get firstByteNs(): number {
    return this.#words.times[SERIAL_TIMES.FIRST_BYTE] ?? 0;
  }

  /** The same of the port's opening for input by a driver. */
  get openNs(): number {
    return this.#words.times[SERIAL_TIMES.OPEN] ?? 0;
  }

  /** The guest is gone: what it sent can still be read, then the stream ends; what is written vanishes. Idempotent. */
  hangUp(): void {
    if (this.#hungUp) return;
    this.#hungUp = true;
    this.#look();
    this.#words.ring();
    this.#console.hangUp();
  }

  async #listen(): Promise<void> {
    while (!this.#hungUp) {
      const seen = this.#words.bell;
      this.#look();
      await this.#words.bellRung(seen);
    }
  }

  /** Whatever the bell rang for. */
  #look(): void {
    if (!this.#opened && this.openNs !== 0) {
      this.#opened = true;
      // What a listener throws is not ours.
      process.nextTick(() => this.#console.emit('open'));
    }
    this.#console.pass();
  }
}

class ConsoleStream extends Duplex implements SerialConsole {
  readonly #words: SerialWords;
  /** The same chip, seen from here: input enters it, and what waited for room leaves it. */
  readonly #uart: Uart16550;
  /** The reader wants more; a push is under way to it. */
  #wanted = false;
  #scheduled = false;
  #hungUp = false;
  #input: { bytes: Uint8Array; readonly done: (error?: Error | null) => void } | undefined;

  constructor(words: SerialWords, interrupt: Interrupt) {
    // A guest that is gone reads nothing more either.
    super({ decodeStrings: true, allowHalfOpen: false });
    this.#words = words;
    this.#uart = new Uart16550({ transmit: byte => words.put(byte), interrupt }, words.uart);
  }

  get dropped(): number {
    return this.#words.dropped;
  }

  /** Passes on what there is, in both directions, as far as it is wanted. */
  pass(): void {
    this.#schedule();
    this.#feed();
  }

  hangUp(): void {
    this.#hungUp = true;
    const waiting = this.#input;
    this.#input = undefined;
    waiting?.done();
    if (this.#words.length === 0 && !this.destroyed) this.push(null);
  }

  override _read(): void {
    this.#wanted = true;
    this.#schedule();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length === 0 || this.#hungUp) {
      done();
      return;
    }
    this.#input = { bytes: chunk, done };
    this.#feed();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Nobody will read any more: from now on, output vanishes and the guest does not wait for anybody.
    this.#alone(() => this.#words.leave());
    const waiting = this.#input;
    this.#input = undefined;
    waiting?.done(error);
    done(error);
    this.#alone(() => this.#uart.resume());
  }

  /** One chunk per turn of the event loop, rather than one per byte. */
  #schedule(): void {
    if (this.#scheduled || !this.#wanted || this.#words.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#wanted && !this.destroyed) this.#flush();
    });
  }

  #flush(): void {
    // In chunks of the reader's size: a push of everything would double what is kept.
    const chunk = this.#alone(() => this.#words.take(this.readableHighWaterMark));
    if (chunk.byteLength === 0) return;
    this.#wanted = false;
    // push() asks for more by _read(), now or when the reader has room.
    this.push(chunk);
    this.#alone(() => this.#uart.resume());
    if (this.#hungUp && this.#words.length === 0) this.push(null);
    this.#schedule();
  }

  #feed(): void {
    const input = this.#input;
    if (input === undefined) return;
    this.#alone(() => {
      input.bytes = input.bytes.subarray(this.#uart.receive(input.bytes));
      if (input.bytes.length > 0) this.#words.wantRoom();
    });
    if (input.bytes.length > 0) return;
    this.#input = undefined;
    input.done();
  }

  /** While no other thread is in the chip. */
  #alone<T>(body: () => T): T {
    this.#words.acquire();
    try {
      return body();
    } finally {
      this.#words.release();
    }
  }
}

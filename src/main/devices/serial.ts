// A serial port whose far end is a Node stream: the guest's console. Main thread.
// Memory is bounded in both directions. Output waits in a ring of fixed size; input waits in the stream's own buffer, whose
// write() says when to stop, and enters the port's 16-byte FIFO as the guest reads it.

import { Duplex } from 'node:stream';
import type { Device, DeviceAccess, DeviceValue } from '../../../shared/device.ts';
import { describeDevice } from '../../../shared/device-table.ts';
import type { Interrupt } from '../../../shared/devices/interrupt.ts';
import { Uart16550 } from '../../../shared/devices/uart-16550.ts';
import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { KIB, MIB } from '../../../shared/units.ts';

const COM1 = 0x3f8;
const REGISTERS = 8;
const BUFFER_MIN = 16;
const BUFFER_MAX = 64 * MIB;
const NO_INTERRUPT: Interrupt = { raise() {} };

export interface SerialPortOptions {
  readonly name?: string;
  /** First of eight ports. Default 0x3f8, COM1, whose interrupt is IRQ 4. */
  readonly base?: number;
  /** Bytes of output, 16 to 64 MiB, that are kept while nobody reads. Default 64 KiB. */
  readonly buffer?: number;
  /**
   * What happens when they are full. 'drop' (default): the oldest bytes go, `console.dropped` counts them, and the guest never waits.
   * 'wait': the port says that its transmitter is full until somebody reads; a guest that sends all the same loses what it sends.
   */
  readonly whenFull?: 'drop' | 'wait';
  /** Default: none; a polling driver works without. */
  readonly interrupt?: Interrupt;
  /** Called once each, while the guest's access is handled: its first byte of output; a driver has opened the port for input. */
  readonly onFirstByte?: () => void;
  readonly onOpen?: () => void;
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

export interface SerialPort extends Device {
  readonly console: SerialConsole;
  /** The guest is gone: what it sent can still be read, then the stream ends; what is written vanishes. Idempotent. */
  hangUp(): void;
}

/**
 * A 16550A at eight ports, with its far end.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`
 */
export function serialPort(options: SerialPortOptions = {}): SerialPort {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(
    options,
    ['name', 'base', 'buffer', 'whenFull', 'interrupt', 'onFirstByte', 'onOpen'],
    'serialPort()',
  );
  const { name = 'serial port', base = COM1, buffer = 64 * KIB, whenFull = 'drop', interrupt = NO_INTERRUPT } = options;
  if (typeof buffer !== 'number') throw invalidType('buffer', 'a number', buffer);
  if (!Number.isInteger(buffer) || buffer < BUFFER_MIN || buffer > BUFFER_MAX)
    throw outOfRange('buffer', '16 bytes to 64 MiB', buffer);
  if (whenFull !== 'drop' && whenFull !== 'wait') throw outOfRange('whenFull', "'drop' or 'wait'", whenFull);
  if (typeof interrupt?.raise !== 'function') throw invalidType('interrupt', 'an object with raise()', interrupt);
  const { onFirstByte, onOpen } = options;
  if (onFirstByte !== undefined && typeof onFirstByte !== 'function')
    throw invalidType('onFirstByte', 'a function', onFirstByte);
  if (onOpen !== undefined && typeof onOpen !== 'function') throw invalidType('onOpen', 'a function', onOpen);
  const place = { name, pio: { base, length: REGISTERS } };
  describeDevice(place);
  const port = new ConsoleStream({ buffer, waits: whenFull === 'wait', interrupt, onFirstByte, onOpen });
  const { uart } = port;
  return {
    ...place,
    console: port,
    read: (offset: number, size: number, _access: DeviceAccess) => uart.read(offset, size),
    write: (offset: number, size: number, value: DeviceValue, _access: DeviceAccess) => uart.write(offset, size, value),
    hangUp: () => port.hangUp(),
  };
}

interface StreamOptions {
  readonly buffer: number;
  readonly waits: boolean;
  readonly interrupt: Interrupt;
  readonly onFirstByte: (() => void) | undefined;
  readonly onOpen: (() => void) | undefined;
}

class ConsoleStream extends Duplex implements SerialConsole {
  readonly uart: Uart16550;
  readonly #ring: Uint8Array;
  readonly #waits: boolean;
  #first = 0;
  #length = 0;
  #dropped = 0;
  /** The reader wants more; a push is under way to it. */
  #wanted = false;
  #scheduled = false;
  #hungUp = false;
  #onFirstByte: (() => void) | undefined;
  #input: { bytes: Uint8Array; readonly done: (error?: Error | null) => void } | undefined;

  constructor({ buffer, waits, interrupt, onFirstByte, onOpen }: StreamOptions) {
    // A guest that is gone reads nothing more either.
    super({ decodeStrings: true, allowHalfOpen: false });
    this.#ring = new Uint8Array(buffer);
    this.#waits = waits;
    this.#onFirstByte = onFirstByte;
    this.uart = new Uart16550({
      transmit: byte => this.#put(byte),
      onRoom: () => this.#feed(),
      onOpen: () => {
        onOpen?.();
        // Not within the guest's access: what a listener throws is not the device's.
        process.nextTick(() => this.emit('open'));
      },
      interrupt,
    });
  }

  get dropped(): number {
    return this.#dropped;
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

  hangUp(): void {
    if (this.#hungUp) return;
    this.#hungUp = true;
    const waiting = this.#input;
    this.#input = undefined;
    waiting?.done();
    if (this.#length === 0 && !this.destroyed) this.push(null);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Nobody will read any more: from now on, output vanishes and the guest does not wait for anybody.
    this.#length = 0;
    const waiting = this.#input;
    this.#input = undefined;
    waiting?.done(error);
    done(error);
    this.uart.resume();
  }

  #put(byte: number): boolean {
    this.#onFirstByte?.();
    this.#onFirstByte = undefined;
    if (this.destroyed) return true;
    const ring = this.#ring;
    if (this.#length === ring.length) {
      if (this.#waits) return false;
      this.#first = (this.#first + 1) % ring.length;
      this.#length -= 1;
      this.#dropped += 1;
    }
    ring[(this.#first + this.#length) % ring.length] = byte;
    this.#length += 1;
    this.#schedule();
    return true;
  }

  /** One chunk per turn of the event loop, rather than one per byte. */
  #schedule(): void {
    if (this.#scheduled || !this.#wanted || this.#length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#wanted && this.#length > 0 && !this.destroyed) this.#flush();
    });
  }

  #flush(): void {
    // In chunks of the reader's size: a push of everything would double what is kept.
    const count = Math.min(this.#length, this.readableHighWaterMark, this.#ring.length - this.#first);
    const chunk = Buffer.from(this.#ring.subarray(this.#first, this.#first + count));
    this.#first = (this.#first + count) % this.#ring.length;
    this.#length -= count;
    this.#wanted = false;
    // push() asks for more by _read(), now or when the reader has room.
    this.push(chunk);
    if (this.#hungUp && this.#length === 0) this.push(null);
    this.uart.resume();
  }

  #feed(): void {
    const input = this.#input;
    if (input === undefined) return;
    input.bytes = input.bytes.subarray(this.uart.receive(input.bytes));
    if (input.bytes.length > 0) return;
    this.#input = undefined;
    input.done();
  }
}

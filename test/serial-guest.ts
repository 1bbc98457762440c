// A serial port with both of its sides on one thread: what a guest would do to its registers, and the far end's stream. For tests.

import { SerialRegisters } from '../shared/devices/serial-registers.ts';
import { SerialWords } from '../shared/devices/serial-words.ts';
import { SerialPort, type SerialPortOptions } from '../src/main/devices/serial.ts';

/** Registers by offset. */
export const SERIAL = { DATA: 0, IER: 1, FCR: 2, LSR: 5 } as const;
const DATA_READY = 0x01;
const TRANSMITTER_EMPTY = 0x20;

export class SerialGuest {
  readonly port: SerialPort;
  /** Edges of the interrupt. */
  interrupts = 0;
  readonly #registers: SerialRegisters;

  constructor(options: Pick<SerialPortOptions, 'buffer' | 'whenFull'> = {}) {
    const interrupt = {
      id: 0,
      raise: () => {
        this.interrupts += 1;
      },
    };
    this.port = new SerialPort({ base: 0x3f8, interrupt, ...options });
    const words = new SerialWords(this.port.state);
    this.#registers = new SerialRegisters({ words, interrupt, now: () => Number(process.hrtime.bigint()) });
  }

  get(register: number): number {
    return Number(this.#registers.read(register, 1));
  }

  set(register: number, value: number): void {
    this.#registers.write(register, 1, value);
  }

  /** Prints, waiting for the transmitter as drivers do; false when it would wait for ever. */
  print(text: string): boolean {
    for (const byte of Buffer.from(text)) {
      if ((this.get(SERIAL.LSR) & TRANSMITTER_EMPTY) === 0) return false;
      this.set(SERIAL.DATA, byte);
    }
    return true;
  }

  /** Reads what there is. */
  take(most = Number.POSITIVE_INFINITY): string {
    let text = '';
    while (text.length < most && (this.get(SERIAL.LSR) & DATA_READY) !== 0)
      text += String.fromCharCode(this.get(SERIAL.DATA));
    return text;
  }

  /** Reads until it has `length` bytes; the far end has its turns meanwhile. */
  async takeAll(length: number): Promise<string> {
    let text = '';
    while (text.length < length) {
      text += this.take(length - text.length);
      await new Promise(resolve => setImmediate(resolve));
    }
    return text;
  }
}

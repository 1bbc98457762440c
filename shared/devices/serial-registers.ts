// The guest's side of a serial port: a 16550 over words that several threads share, one at a time. An access is no more than an exit: nobody
// has to be woken for it, unless output begins or an event is waited for. vCPU threads; pure.

import type { DeviceHandlers, DeviceValue } from '../device.ts';
import type { Interrupt } from './interrupt.ts';
import { SERIAL_TIMES, type SerialWords } from './serial-words.ts';
import { Uart16550 } from './uart-16550.ts';

export interface SerialRegistersOptions {
  readonly words: SerialWords;
  readonly interrupt: Interrupt;
  /** CLOCK_MONOTONIC in ns. */
  now(): number;
}

export class SerialRegisters implements DeviceHandlers {
  readonly #words: SerialWords;
  readonly #uart: Uart16550;

  constructor({ words, interrupt, now }: SerialRegistersOptions) {
    this.#words = words;
    const { times } = words;
    const chip = {
      transmit: (byte: number) => {
        if (times[SERIAL_TIMES.FIRST_BYTE] === 0) times[SERIAL_TIMES.FIRST_BYTE] = now();
        return words.put(byte);
      },
      onRoom: () => words.roomMade(),
      onOpen: () => {
        times[SERIAL_TIMES.OPEN] = now();
        words.ring();
      },
      interrupt,
    };
    this.#uart = new Uart16550(chip, words.uart);
  }

  read(offset: number, size: number): DeviceValue {
    this.#words.acquire();
    try {
      return this.#uart.read(offset, size);
    } finally {
      this.#words.release();
    }
  }

  write(offset: number, size: number, value: DeviceValue): void {
    this.#words.acquire();
    try {
      this.#uart.write(offset, size, value);
    } finally {
      this.#words.release();
    }
  }
}

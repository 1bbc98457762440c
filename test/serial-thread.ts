// Worker: a guest at a serial port on a thread of its own. Prints `lines` numbered lines, then sends back what it reads until a line ends.

import { workerData } from 'node:worker_threads';
import { SerialRegisters } from '../shared/devices/serial-registers.ts';
import { SerialWords } from '../shared/devices/serial-words.ts';
import { SERIAL } from './serial-guest.ts';

const DATA_READY = 0x01;
const TRANSMITTER_EMPTY = 0x20;

// SAFETY: only the test serial-threads starts this file, and with exactly this.
const { state, lines } = workerData as { readonly state: SharedArrayBuffer; readonly lines: number };
const registers = new SerialRegisters({ words: new SerialWords(state), interrupt: { raise() {} }, now: () => 1 });
const status = () => Number(registers.read(SERIAL.LSR, 1));

function print(text: string): void {
  for (const byte of Buffer.from(text)) {
    while ((status() & TRANSMITTER_EMPTY) === 0);
    registers.write(SERIAL.DATA, 1, byte);
  }
}

registers.write(SERIAL.FCR, 1, 1);
registers.write(SERIAL.IER, 1, 1);
for (let line = 0; line < lines; line += 1) print(`line ${line}\n`);
for (let byte = 0; byte !== 0x0a; ) {
  if ((status() & DATA_READY) === 0) continue;
  byte = Number(registers.read(SERIAL.DATA, 1));
  print(String.fromCharCode(byte));
}

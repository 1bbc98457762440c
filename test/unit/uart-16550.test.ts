// The 16550A as drivers meet it: what Linux's 8250 driver probes, interrupt priorities, FIFOs, loopback, both directions' limits.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FCR, IER, IIR, LCR_DLAB, LSR, MCR, MSR, UART, Uart16550 } from '../../shared/devices/uart-16550.ts';

const test = suite('16550A');
const FIFOS = 0xc0;
const ALL = IER.RECEIVED | IER.TRANSMITTER_EMPTY | IER.LINE_STATUS | IER.MODEM_STATUS;

/** A port, what it sent, and its line's history. `room` bytes fit into the sink. */
function port(room = Number.POSITIVE_INFINITY) {
  const sent: number[] = [];
  const line = { high: false, rises: 0 };
  const sink = { room };
  const uart = new Uart16550({
    transmit(byte) {
      if (sent.length >= sink.room) return false;
      sent.push(byte);
      return true;
    },
    interrupt: {
      raise() {
        line.high = true;
        line.rises += 1;
      },
      lower() {
        line.high = false;
      },
    },
  });
  const get = (register: number) => Number(uart.read(register, 1));
  const set = (register: number, value: number) => uart.write(register, 1, value);
  return { uart, sent, line, sink, get, set };
}

const bytes = (...values: number[]) => Uint8Array.from(values);

test('the scratch register and the four bits of IER are there, and no more of IER', () => {
  const { get, set } = port();
  for (const value of [0x00, 0x55, 0xaa, 0xff]) {
    set(UART.SCR, value);
    assert.is(get(UART.SCR), value);
  }
  set(UART.IER, 0);
  assert.is(get(UART.IER), 0);
  set(UART.IER, 0xff);
  assert.is(get(UART.IER), 0x0f);
});

test("Linux's autoconfig finds a 16550A, and none of the later chips", () => {
  const { get, set } = port();
  // Loopback shows RTS and OUT2 as CTS and DCD.
  set(UART.MCR, MCR.LOOP | MCR.OUT2 | MCR.RTS);
  assert.is(get(UART.MSR) & 0xf0, MSR.DCD | MSR.CTS);
  set(UART.MCR, 0);
  // Without FIFOs the top bits of IIR are clear, with them both are set.
  set(UART.LCR, 0xbf);
  set(UART.FCR, 0);
  set(UART.LCR, 0);
  assert.is(get(UART.IIR) & FIFOS, 0);
  set(UART.FCR, FCR.ENABLE);
  assert.is(get(UART.IIR) & FIFOS, FIFOS);
  // A 16650 would have an enhanced feature register (zero) here, with DLAB and with 0xbf in LCR.
  set(UART.LCR, LCR_DLAB);
  assert.is.not(get(UART.IIR), 0);
  set(UART.LCR, 0xbf);
  assert.is.not(get(UART.IIR), 0);
  // A 16750 would have FIFOs of 64 bytes, bit 5.
  set(UART.LCR, 0);
  set(UART.FCR, FCR.ENABLE | 0x20);
  assert.is(get(UART.IIR) & 0xe0, FIFOS);
});

test('the divisor is behind DLAB, and does not touch data or IER', () => {
  const { sent, get, set } = port();
  set(UART.IER, IER.LINE_STATUS);
  set(UART.LCR, LCR_DLAB | 3);
  set(0, 0x0c);
  set(1, 0x34);
  assert.equal([get(0), get(1)], [0x0c, 0x34]);
  set(UART.LCR, 3);
  assert.is(get(UART.IER), IER.LINE_STATUS);
  assert.equal(sent, []);
});

test('enabling the transmitter interrupt reports an empty transmitter, once per enabling', () => {
  const { line, get, set } = port();
  set(UART.IER, IER.TRANSMITTER_EMPTY);
  assert.ok(line.high);
  assert.is(get(UART.IIR), IIR.TRANSMITTER_EMPTY);
  assert.not(line.high, 'reading IIR takes it back');
  assert.is(get(UART.IIR), IIR.NONE);
  // Linux marks ports that miss this as broken (UART_BUG_THRE, UART_BUG_TXEN).
  set(UART.IER, 0);
  set(UART.IER, IER.TRANSMITTER_EMPTY);
  assert.is(get(UART.IIR), IIR.TRANSMITTER_EMPTY);
  // And it comes after each burst.
  set(UART.DATA, 0x41);
  set(UART.DATA, 0x42);
  assert.is(get(UART.IIR), IIR.TRANSMITTER_EMPTY);
});

test('interrupts are reported by priority: line status, data, transmitter, modem', () => {
  const { get, set } = port();
  set(UART.MCR, MCR.LOOP);
  get(UART.MSR);
  set(UART.IER, ALL);
  get(UART.IIR);
  set(UART.DATA, 1);
  set(UART.DATA, 2); // overrun: one byte fits without FIFOs
  set(UART.MCR, MCR.LOOP | MCR.DTR);
  assert.is(get(UART.IIR), IIR.LINE_STATUS);
  assert.is(get(UART.LSR) & LSR.OVERRUN, LSR.OVERRUN);
  assert.is(get(UART.LSR) & LSR.OVERRUN, 0, 'reading LSR clears it');
  assert.is(get(UART.IIR), IIR.RECEIVED);
  assert.is(get(UART.DATA), 1);
  assert.is(get(UART.IIR), IIR.TRANSMITTER_EMPTY);
  assert.is(get(UART.IIR), IIR.MODEM_STATUS);
  assert.is(get(UART.MSR), MSR.DSR | 0x02);
  assert.is(get(UART.MSR), MSR.DSR, 'reading MSR clears the deltas');
  assert.is(get(UART.IIR), IIR.NONE);
});

test('the trigger level tells data from a time-out; 16 bytes fit, and no more are taken', () => {
  const { uart, line, get, set } = port();
  set(UART.FCR, FCR.ENABLE | 0x40); // 4 bytes
  set(UART.IER, IER.RECEIVED);
  assert.is(uart.receive(bytes(1, 2, 3)), 3);
  assert.is(get(UART.IIR), IIR.TIMEOUT | FIFOS);
  assert.is(uart.receive(bytes(4)), 1);
  assert.is(get(UART.IIR), IIR.RECEIVED | FIFOS);
  assert.is(uart.receive(new Uint8Array(100)), 12);
  assert.is(uart.receive(bytes(9)), 0);
  assert.equal([get(UART.DATA), get(UART.DATA), get(UART.DATA)], [1, 2, 3]);
  assert.ok(line.high);
  set(UART.FCR, FCR.ENABLE | FCR.CLEAR_RECEIVER);
  assert.not(line.high);
  assert.is(get(UART.LSR) & LSR.DATA_READY, 0);
});

test('without FIFOs one byte is held; it outlives their being switched on, not off', () => {
  const { uart, get, set } = port();
  assert.is(uart.receive(bytes(1, 2)), 1);
  assert.is(get(UART.LSR) & LSR.DATA_READY, LSR.DATA_READY);
  set(UART.FCR, FCR.ENABLE);
  assert.is(get(UART.DATA), 1);
  assert.is(uart.receive(bytes(3)), 1);
  set(UART.FCR, 0);
  assert.is(get(UART.LSR) & LSR.DATA_READY, 0);
  assert.is(get(UART.DATA), 0, 'an empty receiver reads as zero');
});

test('loopback: what is sent is received, nothing leaves, nothing comes in; modem lines follow the outputs', () => {
  const { uart, sent, get, set } = port();
  set(UART.FCR, FCR.ENABLE);
  set(UART.MCR, MCR.LOOP | MCR.OUT1);
  for (let i = 0; i < 17; i++) set(UART.DATA, i);
  assert.is(get(UART.LSR) & (LSR.OVERRUN | LSR.DATA_READY), LSR.OVERRUN | LSR.DATA_READY);
  assert.equal(
    Array.from({ length: 16 }, () => get(UART.DATA)),
    Array.from({ length: 16 }, (_, i) => i),
  );
  assert.is(uart.receive(bytes(1)), 0);
  assert.equal(sent, []);
  get(UART.MSR);
  set(UART.MCR, MCR.LOOP);
  assert.is(get(UART.MSR), 0x04, 'ring indicator fell');
});

test('a sink without room makes a full transmitter, which loses what is sent all the same and drains on resume()', () => {
  const { uart, sent, line, sink, get, set } = port(0);
  set(UART.FCR, FCR.ENABLE);
  set(UART.IER, IER.TRANSMITTER_EMPTY);
  get(UART.IIR);
  for (let i = 0; i < 20; i++) set(UART.DATA, i);
  assert.is(get(UART.LSR) & (LSR.TRANSMITTER_EMPTY | LSR.TRANSMITTER_IDLE), 0);
  assert.not(line.high);
  sink.room = 3;
  uart.resume();
  assert.is(get(UART.LSR) & LSR.TRANSMITTER_EMPTY, 0);
  sink.room = 100;
  uart.resume();
  assert.equal(
    sent,
    Array.from({ length: 16 }, (_, i) => i),
  );
  assert.ok(line.high, 'the interrupt comes when all of it has left');
  assert.is(get(UART.LSR) & LSR.TRANSMITTER_EMPTY, LSR.TRANSMITTER_EMPTY);
});

test('a burst raises the line once', () => {
  const { line, get, set } = port();
  set(UART.FCR, FCR.ENABLE);
  set(UART.IER, IER.TRANSMITTER_EMPTY);
  get(UART.IIR);
  const before = line.rises;
  for (let i = 0; i < 16; i++) set(UART.DATA, i);
  assert.is(line.rises, before + 1);
});

test('wider accesses are accesses to neighbouring registers', () => {
  const { uart, sent, get } = port();
  uart.write(UART.SCR, 1, 0x5a);
  uart.write(UART.DATA, 2, 0x0f41);
  assert.equal(sent, [0x41]);
  assert.is(get(UART.IER), 0x0f);
  assert.is(uart.read(UART.MSR, 2), 0x5a00 | MSR.CTS | MSR.DSR | MSR.DCD);
});

test.run();

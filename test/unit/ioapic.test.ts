// The I/O APIC's model against the datasheet's behaviours, and against guests that write whatever they like.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type InterruptMessage, IOAPIC_EOI, IOAPIC_PINS, Ioapic } from '../../shared/devices/ioapic.ts';

const test = suite('IOAPIC');
const MASKED = 0x1_0000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;
const LOGICAL = 0x800;

/** With what it sent, and the routes as they are. */
class Wired {
  readonly sent: string[] = [];
  routes: readonly (InterruptMessage | undefined)[] = [];
  routeChanges = 0;
  /** Whether a LAPIC takes what is sent. */
  takes = true;
  readonly ioapic = new Ioapic({
    send: message => {
      this.sent.push(text(message));
      return this.takes;
    },
    route: messages => {
      this.routes = messages;
      this.routeChanges++;
    },
  });

  read(index: number): number {
    this.ioapic.write(0x00, 4, index);
    return this.ioapic.read(0x10, 4);
  }

  write(index: number, value: number): void {
    this.ioapic.write(0x00, 4, index);
    this.ioapic.write(0x10, 4, value);
  }

  low(pin: number): number {
    return this.read(0x10 + 2 * pin);
  }

  program(pin: number, low: number, destination = 0): void {
    this.write(0x11 + 2 * pin, destination * 2 ** 24);
    this.write(0x10 + 2 * pin, low);
  }

  /** Messages since the last call. */
  take(): string[] {
    return this.sent.splice(0);
  }

  route(pin: number): string | undefined {
    const message = this.routes[pin];
    return message === undefined ? undefined : text(message);
  }
}

const text = ({ address, data }: InterruptMessage) => `${address.toString(16)} ${data.toString(16)}`;

test('after reset: version 0x20 with 24 entries, all masked', () => {
  const wired = new Wired();
  assert.is(wired.read(1), 0x0017_0020);
  for (let pin = 0; pin < IOAPIC_PINS; pin++) assert.equal([wired.low(pin), wired.read(0x11 + 2 * pin)], [MASKED, 0]);
  assert.is(wired.routeChanges, 0);
});

test('identity: four bits, and the arbitration register repeats them', () => {
  const wired = new Wired();
  wired.write(0, 0xffff_ffff);
  assert.equal([wired.read(0), wired.read(2)], [0x0f00_0000, 0x0f00_0000]);
});

test('read-only bits stay, and registers that are not there read as 0', () => {
  const wired = new Wired();
  wired.write(1, 0);
  wired.program(3, 0xffff_ffff, 0xff);
  assert.is(wired.read(1), 0x0017_0020);
  assert.equal([wired.low(3), wired.read(0x17)], [0x1_afff, 0xff00_0000]);
  for (const index of [3, 0xf, 0x40, 0xff]) {
    wired.write(index, 0xffff_ffff);
    assert.is(wired.read(index), 0);
  }
});

test('the select register has eight bits, the window answers 32 bits alone', () => {
  const { ioapic } = new Wired();
  ioapic.write(0x00, 4, 0x1_ff01);
  assert.equal([ioapic.read(0x00, 4), ioapic.read(0x10, 4)], [1, 0x0017_0020]);
  assert.equal([ioapic.read(0x10, 1), ioapic.read(0x12, 4), ioapic.read(0x20, 4), ioapic.read(0x40, 4)], [0, 0, 0, 0]);
  ioapic.write(0x00, 1, 0x10);
  ioapic.write(0x10, 2, 0x30);
  assert.is(ioapic.read(0x10, 4), MASKED);
});

test('an edge: one message as the line rises, none while it is high or when it falls', () => {
  const wired = new Wired();
  wired.program(4, 0x34, 2);
  assert.is(wired.route(4), 'fee02000 4034');
  wired.ioapic.setLine(4, true);
  wired.ioapic.setLine(4, true);
  wired.ioapic.setLine(4, false);
  wired.ioapic.setLine(4, true);
  assert.equal(wired.take(), ['fee02000 4034', 'fee02000 4034']);
  assert.is(wired.low(4), 0x34);
});

test('an edge at a masked pin is lost, and a masked pin has no route', () => {
  const wired = new Wired();
  wired.program(4, MASKED | 0x34);
  wired.ioapic.setLine(4, true);
  wired.program(4, 0x34);
  assert.equal(wired.take(), []);
  assert.is(wired.route(4), 'fee00000 4034');
  wired.program(4, MASKED | 0x34);
  assert.is(wired.route(4), undefined);
});

test('a level: remote IRR until its end; sent again while the line is high', () => {
  const wired = new Wired();
  wired.program(9, LEVEL | 0x51, 1);
  wired.ioapic.setLine(9, true);
  wired.ioapic.setLine(9, false);
  wired.ioapic.setLine(9, true);
  assert.equal(wired.take(), ['fee01000 c051']);
  assert.is(wired.low(9), LEVEL | REMOTE_IRR | 0x51);
  wired.ioapic.eoi(0x52);
  assert.equal(wired.take(), []);
  wired.ioapic.eoi(0x51);
  assert.equal(wired.take(), ['fee01000 c051']);
  wired.ioapic.setLine(9, false);
  wired.ioapic.write(IOAPIC_EOI, 4, 0x51);
  assert.equal(wired.take(), []);
  assert.is(wired.low(9), LEVEL | 0x51);
});

test('a level that rose while it was masked is sent when it is not', () => {
  const wired = new Wired();
  wired.program(9, MASKED | LEVEL | 0x51);
  wired.ioapic.setLine(9, true);
  assert.equal(wired.take(), []);
  wired.program(9, LEVEL | 0x51);
  assert.equal(wired.take(), ['fee00000 c051']);
});

test('a level that is masked under way keeps its route until its end, and is not sent then', () => {
  const wired = new Wired();
  wired.program(9, LEVEL | 0x51);
  wired.ioapic.setLine(9, true);
  wired.take();
  wired.program(9, MASKED | LEVEL | 0x51);
  assert.is(wired.route(9), 'fee00000 c051');
  wired.ioapic.eoi(0x51);
  assert.equal(wired.take(), []);
  assert.is(wired.route(9), undefined);
});

test('made an edge, an entry loses its remote IRR', () => {
  const wired = new Wired();
  wired.program(9, LEVEL | 0x51);
  wired.ioapic.setLine(9, true);
  wired.program(9, MASKED | 0x51);
  assert.is(wired.low(9), MASKED | 0x51);
  wired.take();
  wired.program(9, LEVEL | 0x51);
  assert.equal(wired.take(), ['fee00000 c051']);
});

test('two levels with one vector: its end is the end of both', () => {
  const wired = new Wired();
  for (const pin of [9, 10]) {
    wired.program(pin, LEVEL | 0x51);
    wired.ioapic.setLine(pin, true);
  }
  wired.ioapic.setLine(10, false);
  wired.take();
  wired.ioapic.eoi(0x51);
  assert.equal(wired.take(), ['fee00000 c051']);
  assert.equal([wired.low(9), wired.low(10)], [LEVEL | REMOTE_IRR | 0x51, LEVEL | 0x51]);
});

test('a level that no LAPIC takes is not under way, and is sent when the entry is written again', () => {
  const wired = new Wired();
  wired.takes = false;
  wired.program(9, LEVEL | 0x51, 77);
  wired.ioapic.setLine(9, true);
  assert.is(wired.low(9), LEVEL | 0x51);
  wired.takes = true;
  wired.take();
  wired.program(9, LEVEL | 0x51, 0);
  assert.is(wired.take().at(-1), 'fee00000 c051');
  assert.is(wired.low(9), LEVEL | REMOTE_IRR | 0x51);
});

test('destination and delivery modes', () => {
  const wired = new Wired();
  const routed = (low: number, destination: number) => {
    wired.program(5, low, destination);
    return wired.route(5);
  };
  assert.is(routed(LOGICAL | 0x40, 0xff), 'feeff004 4040');
  assert.is(routed(LOGICAL | 0x140, 3), 'fee0300c 4140');
  assert.is(routed(0x400, 1), 'fee01000 4400');
  assert.is(routed(0x500, 1), 'fee01000 4500');
  assert.is(routed(LEVEL | 0x400, 1), 'fee01000 4400', 'an NMI is an edge');
  for (const reserved of [0x300, 0x600, 0x700]) assert.is(routed(reserved | 0x40, 1), undefined);
});

test('the output hears of changes only', () => {
  const wired = new Wired();
  wired.program(5, 0x40);
  const before = wired.routeChanges;
  wired.program(5, 0x40);
  wired.write(0, 0);
  wired.ioapic.eoi(0x40);
  wired.ioapic.setLine(6, true);
  assert.is(wired.routeChanges, before);
});

test('whatever is written: 24 routes at most, messages to LAPICs only, remote IRR only where a level is under way', () => {
  const byte = fc.integer({ min: 0, max: 0xff });
  const value = fc.integer({ min: -(2 ** 31), max: 2 ** 53 - 1 });
  const step = fc.oneof(
    fc.record({ offset: byte, size: fc.constantFrom(1, 2, 4, 8), value }),
    fc.record({ index: byte, value }),
    fc.record({ pin: fc.integer({ min: -2, max: 40 }), high: fc.boolean() }),
    fc.record({ eoi: byte }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const wired = new Wired();
      for (const each of steps) {
        if ('offset' in each) wired.ioapic.write(each.offset, each.size, each.value);
        else if ('index' in each) wired.write(each.index, each.value);
        else if ('pin' in each) wired.ioapic.setLine(each.pin, each.high);
        else wired.ioapic.eoi(each.eoi);
        assert.ok(wired.take().every(message => /^fee[0-9a-f]{5} [0-9a-f]{1,4}$/.test(message)));
      }
      for (let pin = 0; pin < IOAPIC_PINS; pin++) {
        const low = wired.low(pin);
        assert.is(low & ~0x1_efff, 0);
        if (low & REMOTE_IRR) assert.ok(low & LEVEL);
        const routed = (low & MASKED) === 0 || (low & REMOTE_IRR) !== 0;
        if (wired.route(pin) !== undefined) assert.ok(routed);
      }
      assert.ok(wired.routes.length <= IOAPIC_PINS);
    }),
    { numRuns: 300 },
  );
});

test.run();

// What may be said of a guest's devices: defaults, and what is refused by value.

import { type Hardware, linux } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkHardware } from '../../src/main/images/hardware.ts';
import { codeOf } from '../images.ts';

const test = suite('hardware');
const virtio = { base: 0xc000_0000, size: 0x1000, irq: 5 };
const refused = (what: string, code: string, hardware: unknown) =>
  test(`refused: ${what}`, () => {
    assert.is(
      codeOf(() => checkHardware(hardware as Hardware)),
      code,
    );
  });

test('by default a serial port and a timer, and nothing else', () => {
  const serial = [{ port: 0x3f8, irq: 4 }];
  assert.equal(checkHardware(), { serial, virtio: [], keyboard: false, timer: true, clock: false });
});

test('addresses may be bigint', () => {
  assert.equal(checkHardware({ virtio: [{ ...virtio, base: 0xc000_0000n, size: 0x1000n }] }).virtio, [virtio]);
});

refused('no object', 'ERR_INVALID_ARG_TYPE', 5);
refused('an unknown kind', 'ERR_UNKNOWN_OPTION', { floppy: true });
refused('an unknown property', 'ERR_UNKNOWN_OPTION', { virtio: [{ ...virtio, pin: 1 }] });
refused('registers in RAM', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, base: 0xbfff_f000 }] });
refused('registers that reach the IOAPIC', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, base: 0xfebf_f800 }] });
refused('registers above 4 GiB', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, base: 2 ** 32 }] });
refused('an odd address', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, base: 0xc000_0001 }] });
refused('too few registers', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, size: 0xff }] });
refused('two devices at one place', 'ERR_OUT_OF_RANGE', {
  virtio: [virtio, { base: 0xc000_0800, size: 0x1000, irq: 6 }],
});
refused('two devices with one interrupt', 'ERR_OUT_OF_RANGE', {
  virtio: [virtio, { base: 0xc000_1000, size: 0x1000, irq: 5 }],
});
refused("the serial port's interrupt", 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, irq: 4 }] });
refused("the timer's pin", 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, irq: 2 }] });
refused("the keyboard's interrupt", 'ERR_OUT_OF_RANGE', { keyboard: true, virtio: [{ ...virtio, irq: 1 }] });
refused('a pin that the IOAPIC does not have', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, irq: 24 }] });
refused('half an interrupt', 'ERR_OUT_OF_RANGE', { virtio: [{ ...virtio, irq: 5.5 }] });
refused('an interrupt by name', 'ERR_INVALID_ARG_TYPE', { virtio: [{ ...virtio, irq: '5' }] });
refused('a serial port at the end of all ports', 'ERR_OUT_OF_RANGE', { serial: [{ port: 0xfff9, irq: 4 }] });
refused('two serial ports at one place', 'ERR_OUT_OF_RANGE', {
  serial: [
    { port: 0x3f8, irq: 4 },
    { port: 0x3ff, irq: 3 },
  ],
});
refused('a serial port over the keyboard controller', 'ERR_OUT_OF_RANGE', {
  serial: [{ port: 0x60, irq: 4 }],
  keyboard: true,
});
refused('a keyboard that is not yes or no', 'ERR_INVALID_ARG_TYPE', { keyboard: 1 });

test('linux() checks it at once', () => {
  assert.is(
    codeOf(() => linux({ kernel: new Uint8Array(1), hardware: { virtio: [{ ...virtio, irq: 99 }] } })),
    'ERR_OUT_OF_RANGE',
  );
});

test.run();

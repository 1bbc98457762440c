// The devices that come with a BIOS, accessed as firmware does: CMOS, host bridge with PAM and reset.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DeviceAccess, EndRequest } from '../../shared/device.ts';
import { CmosDevice, HostBridge } from '../../src/main/images/bios-devices.ts';

const test = suite('bios devices');
const MIB = 2 ** 20;
const GIB = 2 ** 30;

function access(): DeviceAccess & { ended: EndRequest[] } {
  const ended: EndRequest[] = [];
  return { vcpu: 0, ended, end: reason => void ended.push(reason) };
}

/** PCI configuration of device 0:0.0 through ports 0xcf8 and 0xcfc. */
function config(bridge: HostBridge, register: number): void {
  bridge.write(0, 4, (0x8000_0000 + (register & 0xfc)) >>> 0, access());
}

function cmosWord(cmos: CmosDevice, index: number, bytes: number): number {
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) {
    cmos.write(0, 1, index + i);
    value = value * 256 + Number(cmos.read(1));
  }
  return value;
}

test('CMOS tells RAM below and above 4 GiB, and the number of vCPUs', () => {
  const cmos = new CmosDevice();
  const regions = [
    { guestAddr: 4 * GIB, size: 5 * GIB, readOnly: false },
    { guestAddr: 0, size: 3 * GIB, readOnly: false },
  ];
  cmos.describe(regions, 4);
  assert.is(cmosWord(cmos, 0x15, 2), 640);
  assert.is(cmosWord(cmos, 0x30, 2), 0xffff);
  assert.is(cmosWord(cmos, 0x34, 2) * 64 * 1024, 3 * GIB - 16 * MIB);
  assert.is(cmosWord(cmos, 0x5b, 3) * 64 * 1024, 5 * GIB);
  assert.is(cmosWord(cmos, 0x5f, 1), 3);
});

test('CMOS of a machine of 1 MiB has nothing above it', () => {
  const cmos = new CmosDevice();
  cmos.describe([{ guestAddr: 0, size: MIB, readOnly: false }], 1);
  assert.is(cmosWord(cmos, 0x30, 2) + cmosWord(cmos, 0x34, 2) + cmosWord(cmos, 0x5b, 3), 0);
});

test('CMOS keeps what is written, and its clock is BCD', () => {
  const cmos = new CmosDevice();
  cmos.write(0, 1, 0x8f); // with the NMI mask
  cmos.write(1, 1, 0x12);
  assert.is(cmos.read(1), 0x12);
  const century = cmosWord(cmos, 0x32, 1);
  assert.is((century >> 4) * 10 + (century & 15), Math.floor(new Date().getUTCFullYear() / 100));
});

test('the host bridge is a 82441FX at 0:0.0, and nothing else answers', () => {
  const bridge = new HostBridge();
  config(bridge, 0);
  assert.is(bridge.read(4, 4), 0x1237_8086);
  assert.is(bridge.read(6, 2), 0x1237);
  bridge.write(0, 4, 0x8000_0800, access());
  assert.is(bridge.read(4, 4), 0xffff_ffff);
  bridge.write(0, 4, 0, access());
  assert.is(bridge.read(4, 4), 0xffff_ffff);
});

test('identity registers cannot be written', () => {
  const bridge = new HostBridge();
  config(bridge, 0);
  bridge.write(4, 4, 0, access());
  assert.is(bridge.read(4, 4), 0x1237_8086);
});

test('PAM unlocks and locks pieces of 0xe0000 to 0xfffff, neighbours in one call', () => {
  const calls: [number, number, boolean][] = [];
  const bridge = new HostBridge();
  bridge.attach({ setReadOnly: (addr, size, readOnly) => void calls.push([addr, size, readOnly]) });
  const write = (register: number, size: number, value: number) => {
    config(bridge, register);
    bridge.write(4 + (register & 3), size, value, access());
  };
  write(0x58, 4, 0x3333_3000); // PAM0: 0xf0000 on; PAM1, PAM2: below 0xe0000
  write(0x5c, 4, 0x3333_3333); // PAM3 to PAM6
  write(0x5c, 4, 0x3333_3333); // again: nothing changes
  write(0x5f, 1, 0x31); // 0xe8000 off again, 0xec000 stays
  write(0x59, 1, 0x10);
  assert.equal(calls, [
    [0xf_0000, 0x1_0000, false],
    [0xe_0000, 0x1_0000, false],
    [0xe_8000, 0x4000, true],
    [0xf_0000, 0x1_0000, true],
  ]);
});

test('the reset register resets the machine', () => {
  const bridge = new HostBridge();
  const first = access();
  bridge.write(1, 1, 0x02, first);
  assert.equal(first.ended, []);
  bridge.write(1, 1, 0x06, first);
  assert.equal(first.ended, ['reset']);
});

test.run();

// Port and MMIO exits decoded from a kvm_run page: sizes, counts, directions, and answers that are no integers.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DeviceHandlers, DeviceValue } from '../../shared/device.ts';
import { DeviceTable, describeTable } from '../../shared/device-table.ts';
import { KVM_EXIT, KVM_RUN } from '../../shared/generated/kvm-abi.ts';
import { IoDispatch } from '../../shared/io-dispatch.ts';
import { codeOf } from '../errors.ts';
import { oddValues } from '../odd-values.ts';

const test = suite('I/O dispatch');
const DATA = 4096;

/** A page and a dispatcher for one device at port 0x20 and address 0x1_0000_0000. */
function machine(handlers: DeviceHandlers): { run: DataView; dispatch: IoDispatch } {
  const run = new DataView(new SharedArrayBuffer(8192));
  const place = { pio: { base: 0x20, length: 16 }, mmio: { base: 0x1_0000_0000, length: 4096 } };
  const table = new DeviceTable(describeTable([{ name: 'probe', where: 'vcpu', ...place }]));
  return { run, dispatch: new IoDispatch(run, table, [handlers], { vcpu: 0, end: () => {} }) };
}

function pio(run: DataView, exit: { out: boolean; size: number; port: number; count: number }): void {
  run.setUint32(KVM_RUN.exitReason, KVM_EXIT.IO, true);
  run.setUint8(KVM_RUN.io.direction, exit.out ? 1 : 0);
  run.setUint8(KVM_RUN.io.size, exit.size);
  run.setUint16(KVM_RUN.io.port, exit.port, true);
  run.setUint32(KVM_RUN.io.count, exit.count, true);
  run.setUint32(KVM_RUN.io.dataOffset, DATA, true);
}

function mmio(run: DataView, exit: { write: boolean; size: number; addr: bigint }): void {
  run.setUint32(KVM_RUN.exitReason, KVM_EXIT.MMIO, true);
  run.setBigUint64(KVM_RUN.mmio.physAddr, exit.addr, true);
  run.setUint32(KVM_RUN.mmio.len, exit.size, true);
  run.setUint8(KVM_RUN.mmio.isWrite, exit.write ? 1 : 0);
}

const bytes = (run: DataView, at: number, length: number): number[] =>
  Array.from({ length }, (_, i) => run.getUint8(at + i));

test('a rep outs arrives item by item', () => {
  const written: unknown[] = [];
  const { run, dispatch } = machine({
    write: (offset, size, value) => {
      written.push([offset, size, value]);
    },
  });
  pio(run, { out: true, size: 2, port: 0x24, count: 3 });
  for (let i = 0; i < 6; i++) run.setUint8(DATA + i, i + 1);
  dispatch.perform(dispatch.target());

  assert.equal(written, [
    [4, 2, 0x0201],
    [4, 2, 0x0403],
    [4, 2, 0x0605],
  ]);
});

test('a rep ins is answered item by item', () => {
  let next = 0x10;
  const { run, dispatch } = machine({ read: () => next++ });
  pio(run, { out: false, size: 1, port: 0x20, count: 3 });
  dispatch.perform(dispatch.target());

  assert.equal(bytes(run, DATA, 4), [0x10, 0x11, 0x12, 0]);
});

test('MMIO writes of 1 to 8 bytes: numbers up to 4, bigint above', () => {
  const written: DeviceValue[] = [];
  const { run, dispatch } = machine({
    write: (_offset, _size, value) => {
      written.push(value);
    },
  });
  run.setBigUint64(KVM_RUN.mmio.data, 0xf8f7_f6f5_f4f3_f2f1n, true);
  for (let size = 1; size <= 8; size++) {
    mmio(run, { write: true, size, addr: 0x1_0000_0008n });
    dispatch.perform(dispatch.target());
  }

  assert.equal(written, [
    0xf1,
    0xf2f1,
    0xf3f2f1,
    0xf4f3f2f1,
    0xf5_f4f3_f2f1n,
    0xf6f5_f4f3_f2f1n,
    0xf7_f6f5_f4f3_f2f1n,
    0xf8f7_f6f5_f4f3_f2f1n,
  ]);
});

test('an answer is cut to the size of the access', () => {
  for (const value of [0x1122_3344_5566, 0x1122_3344_5566n, -2, -2n]) {
    const { run, dispatch } = machine({ read: () => value });
    mmio(run, { write: false, size: 2, addr: 0x1_0000_0000n });
    dispatch.perform(0);
    assert.is(run.getUint16(KVM_RUN.mmio.data, true), Number(BigInt.asUintN(16, BigInt(value))));
  }
});

test('answers that are no integers are the device’s error', async () => {
  for (const value of [undefined, null, Number.NaN, 1.5, '1', {}, 2 ** 60]) {
    const { run, dispatch } = machine({ read: () => value as number });
    pio(run, { out: false, size: 4, port: 0x20, count: 1 });
    assert.is(await codeOf(() => dispatch.perform(0)), 'ERR_DEVICE_HANDLER', String(value));
  }
});

test('an asynchronous handler is the device’s error, and its rejection goes nowhere', async () => {
  const { run, dispatch } = machine({ write: (async () => Promise.reject(new Error('late'))) as () => void });
  pio(run, { out: true, size: 1, port: 0x20, count: 1 });

  assert.is(await codeOf(() => dispatch.perform(0)), 'ERR_DEVICE_HANDLER');
});

test('a device can end the VM for the reasons there are, and for no other', async () => {
  const { run, dispatch } = machine({ write: (_offset, _size, _value, access) => access.end('explode' as 'reset') });
  pio(run, { out: true, size: 1, port: 0x20, count: 1 });

  assert.is(await codeOf(() => dispatch.perform(0)), 'ERR_DEVICE_HANDLER');
});

test('nobody there: reads float, writes vanish', () => {
  const { run, dispatch } = machine({});
  pio(run, { out: false, size: 4, port: 0x99, count: 2 });
  assert.is(dispatch.target(), -1);
  dispatch.float();
  assert.equal(bytes(run, DATA, 9), [255, 255, 255, 255, 255, 255, 255, 255, 0]);

  mmio(run, { write: false, size: 4, addr: 0n });
  assert.is(dispatch.target(), -1);
  dispatch.float();
  assert.is(run.getUint32(KVM_RUN.mmio.data, true), 0xffff_ffff);
});

test("whatever a handler throws is its device's error", async () => {
  for (const make of oddValues) {
    const { run, dispatch } = machine({
      write() {
        throw make();
      },
    });
    pio(run, { out: true, size: 1, port: 0x20, count: 1 });

    assert.is(await codeOf(() => dispatch.perform(0)), 'ERR_DEVICE_HANDLER');
  }
});

test.run();

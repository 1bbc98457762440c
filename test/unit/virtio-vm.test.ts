// Virtio devices of machines on the host engine: a program drives one by exits alone; the options; what linux() tells a guest. Without KVM.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvmMemory, linux, program, VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { virtioDevice } from '../../src/main/devices/virtio-device.ts';
import { codeOf } from '../errors.ts';
import { fdCount } from '../process-state.ts';

const test = suite('virtio of a machine');

const module = new URL('../kvm/devices/virtio-echo.js', import.meta.url);
const wrong = <T>(value: unknown): T => value as T;
const host = { memory: 1 << 20, vcpus: 1, engine: 'host' } as const;

test('a program asks rng for bytes by exits, and has them', async () => {
  await using vm = await VirtualMachine.create({ ...host, rng: true });
  await vm.load(program(new URL('./programs/rng-reader.js', import.meta.url), 0x8000));
  await vm.start();

  assert.is((await vm.finished).reason, 'halt');
  const bytes = new Uint8Array(64);
  vm.memory.read(0x8000, bytes);
  assert.is.not(Buffer.compare(bytes, new Uint8Array(64)), 0);
});

test('a machine that is made and disposed of keeps no file open, also when it was never loaded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-test-'));
  const path = join(folder, 'disk');
  writeFileSync(path, new Uint8Array(4096));
  const run = async () => {
    await using vm = await VirtualMachine.create({ ...host, disks: [{ path }, { path, overlay: true }] });
    assert.is(vm.state, 'created');
  };
  await run();
  const before = fdCount();
  await run();
  assert.is(fdCount(), before);
  rmSync(folder, { recursive: true });
});

test('wrong options are refused', async () => {
  const code = (options: object) => codeOf(() => VirtualMachine.create({ ...host, ...options }));
  for (const bad of [
    null,
    'disk',
    { path: 1 },
    [null],
    ['disk'],
    [{}],
    [{ path: 'a\0b' }],
    [{ path: 'a', overlay: 'b' }],
  ])
    assert.is(await code({ disks: bad }), 'ERR_INVALID_ARG_TYPE', JSON.stringify(bad));
  assert.is(await code({ rng: 'yes' }), 'ERR_INVALID_ARG_TYPE');
  for (const bad of [{}, [{}], [null], [module.href]]) assert.is(await code({ virtio: bad }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await code({ disks: [{ path: 'a', size: 5 }] }), 'ERR_UNKNOWN_OPTION');
  assert.is(await codeOf(() => virtioDevice('device.js')), 'ERR_OUT_OF_RANGE');
  for (const bad of [null, 5]) assert.is(await codeOf(() => virtioDevice(wrong(bad))), 'ERR_INVALID_ARG_TYPE');
  for (const bad of [null, { name: '' }, { name: 5 }, { transfer: 5 }])
    assert.is(await codeOf(() => virtioDevice(module, wrong(bad))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => virtioDevice(module, wrong({ size: 5 }))), 'ERR_UNKNOWN_OPTION');
});

test('linux() describes what the machine has before what it was told, and refuses a pin twice', async () => {
  const kernel = bareKernel();
  const own = { base: 0xd100_0000, size: 0x200, irq: 20 };
  const machine = { virtio: [{ base: 0xd000_0000, size: 0x1000, irq: 5 }] };
  using memory = new KvmMemory(16 << 20);
  const image = linux({ kernel, hardware: { virtio: [own] } });
  await image.load({ memory, vcpus: 1, hardware: machine });

  // Two devices in the DSDT, each with its Memory32Fixed.
  const tables = new Uint8Array(0x2_0000);
  memory.read(0xe_0000, tables);
  const place = (base: number) => {
    const pattern = Buffer.from([0x86, 9, 0, 1, ...[0, 8, 16, 24].map(shift => (base >>> shift) & 0xff)]);
    return Buffer.from(tables).indexOf(pattern);
  };
  assert.ok(place(0xd000_0000) > 0);
  assert.ok(place(0xd100_0000) > place(0xd000_0000));
  const twice = linux({ kernel, hardware: { virtio: [{ ...own, irq: 5 }] } });
  assert.is(await codeOf(() => twice.load({ memory, vcpus: 1, hardware: machine })), 'ERR_OUT_OF_RANGE');
});

/** An ELF of one segment with nothing in it: all that a loader needs. */
function bareKernel(): Uint8Array {
  const bytes = new Uint8Array(0x200);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // executable
  view.setUint16(18, 62, true); // x86-64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, 0x10_0000n, true); // entry
  view.setBigUint64(32, 64n, true); // program headers
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 7, true);
  view.setBigUint64(72, 0x100n, true); // offset
  view.setBigUint64(80, 0x10_0000n, true);
  view.setBigUint64(88, 0x10_0000n, true);
  view.setBigUint64(96, 0x100n, true);
  view.setBigUint64(104, 0x100n, true);
  return bytes;
}

test.run();

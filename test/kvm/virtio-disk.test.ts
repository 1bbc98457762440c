// Disks of a machine: a file that is read and written, one that is only read, an overlay; what a pause, dirty tracking and the end see of it.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { u32le, u64le, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { REQUEST } from '../../shared/virtio/blk.ts';
import { MMIO } from '../../shared/virtio/mmio.ts';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { BUFFERS, type TestDriver, VirtioMachine } from '../kvm-virtio.ts';
import { leftovers } from '../process-state.ts';

const test = kvmSuite('virtio disks');

const SECTORS = 4096;
const FLUSH = 1 << 9;
const DISCARD = 1 << 13;
const HEADER = BUFFERS;
const STATUS = BUFFERS + 0x100;
const DATA = BUFFERS + 0x1000;

let folder = '';
test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'node-kvm-test-'));
});
test.after(() => rmSync(folder, { recursive: true }));

/** Each sector begins with its number. */
function contents(): Buffer {
  const bytes = Buffer.alloc(SECTORS * 512, 0x11);
  for (let sector = 0; sector < SECTORS; sector++) bytes.writeUInt32LE(sector, sector * 512);
  return bytes;
}

function newFile(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, contents());
  return path;
}

/** A request, and its status. */
async function request(
  machine: VirtioMachine,
  queue: TestDriver | undefined,
  type: number,
  sector: number,
  bytes: number,
): Promise<number> {
  const { memory } = machine;
  memory.writeObj(HEADER, u32le, type);
  memory.writeObj(HEADER + 4, u32le, 0);
  memory.writeObj(HEADER + 8, u64le, BigInt(sector));
  memory.memset(STATUS, 0xff, 1);
  const header = { at: HEADER, length: 16 };
  const data = bytes === 0 ? [] : [{ at: DATA, length: bytes }];
  const status = { at: STATUS, length: 1 };
  if (type === REQUEST.IN) await queue?.request([header], [...data, status]);
  else await queue?.request([header, ...data], [status]);
  const result = new Uint8Array(1);
  memory.read(STATUS, result);
  return result[0] ?? -1;
}

test('what the guest writes and flushes is in the file, and what is in the file it reads', async () => {
  const path = newFile('plain');
  {
    await using machine = await VirtioMachine.start({ disks: [{ path }] });
    const [queue] = await machine.setUp(0, { features: FLUSH });
    assert.is(await machine.access(0, MMIO.CONFIG), SECTORS);

    assert.is(await request(machine, queue, REQUEST.IN, 7, 8 * 512), 0);
    for (let i = 0; i < 8; i++) assert.is(machine.memory.readObj(DATA + 512 * i, u32le), 7 + i);
    machine.memory.memset(DATA, 0x5a, 4096);
    assert.is(await request(machine, queue, REQUEST.OUT, 100, 4096), 0);
    assert.is(await request(machine, queue, REQUEST.FLUSH, 0, 0), 0);

    assert.equal(readFileSync(path).subarray(51_200, 55_296), Buffer.alloc(4096, 0x5a));
    assert.is(await request(machine, queue, REQUEST.IN, SECTORS, 512), 1);
  }
  const expected = contents();
  expected.fill(0x5a, 51_200, 55_296);
  assert.equal(readFileSync(path), expected);
});

test('what is discarded takes no room in the file any more', async () => {
  const path = newFile('discarded');
  await using machine = await VirtioMachine.start({ disks: [{ path }] });
  const [queue] = await machine.setUp(0, { features: DISCARD });
  machine.memory.writeObj(DATA, u64le, 1024n);
  machine.memory.writeObj(DATA + 8, u32le, 2048);
  machine.memory.writeObj(DATA + 12, u32le, 0);
  const before = statSync(path).blocks;
  assert.is(await request(machine, queue, REQUEST.DISCARD, 0, 16), 0);

  const expected = contents();
  expected.fill(0, 1024 * 512, 3072 * 512);
  assert.equal(readFileSync(path), expected);
  assert.ok(before - statSync(path).blocks >= 2000);
});

test('a disk that is only read says so, and is not written', async () => {
  const path = newFile('read-only');
  await using machine = await VirtioMachine.start({ disks: [{ path, readOnly: true }] });
  await machine.access(0, MMIO.DEVICE_FEATURES_SEL, 0);
  assert.is((await machine.access(0, MMIO.DEVICE_FEATURES)) & (1 << 5), 1 << 5);
  const [queue] = await machine.setUp(0, { features: 1 << 5 });

  assert.is(await request(machine, queue, REQUEST.OUT, 0, 512), 1);
  assert.is(await request(machine, queue, REQUEST.IN, 1, 512), 0);
  assert.is(machine.memory.readObj(DATA, u32le), 1);
  assert.equal(readFileSync(path), contents());
});

test('an overlay keeps what is written to itself; two machines share the file below', async () => {
  const path = newFile('base');
  await using one = await VirtioMachine.start({ disks: [{ path, overlay: true }] });
  await using two = await VirtioMachine.start({ disks: [{ path, overlay: true }] });
  const [first] = await one.setUp(0, { features: FLUSH });
  const [second] = await two.setUp(0, { features: FLUSH });
  one.memory.memset(DATA, 0x77, 1024);
  assert.is(await request(one, first, REQUEST.OUT, 9, 1024), 0);
  assert.is(await request(one, first, REQUEST.FLUSH, 0, 0), 0);

  for (const [machine, queue, seen] of [
    [one, first, [8, 0x7777_7777, 0x7777_7777, 11]],
    [two, second, [8, 9, 10, 11]],
  ] as const) {
    assert.is(await request(machine, queue, REQUEST.IN, 8, 4 * 512), 0);
    assert.equal(
      [0, 1, 2, 3].map(i => machine.memory.readObj(DATA + 512 * i, u32le)),
      seen,
    );
  }
  assert.equal(readFileSync(path), contents());
});

for (const source of ['pagemap', 'bitmap'] as const) {
  test(`dirty tracking by ${source} sees what a disk stores in memory`, async () => {
    const path = newFile(`tracked-${source}`);
    await using machine = await VirtioMachine.start({ disks: [{ path }], dirtyTracking: { source } });
    const [queue] = await machine.setUp(0);
    machine.memory.getDirtyPages();
    await request(machine, queue, REQUEST.IN, 3, 8192);

    const dirty = machine.memory.getDirtyPages();
    for (const page of [DATA, DATA + 4096])
      assert.ok(dirty.some(({ guestAddr, size }) => guestAddr <= page && page < guestAddr + size));
  });
}

test('paused, a disk stores nothing in memory; then it does', async () => {
  await using machine = await VirtioMachine.start({ disks: [{ path: newFile('paused') }] });
  const [queue] = await machine.setUp(0);
  for (let round = 0; round < 20; round++) {
    machine.memory.memset(DATA, 0, 1 << 20);
    machine.memory.writeObj(HEADER, u32le, REQUEST.IN);
    machine.memory.writeObj(HEADER + 8, u64le, 0n);
    queue?.add(
      [{ at: HEADER, length: 16 }],
      [
        { at: DATA, length: 1 << 20 },
        { at: STATUS, length: 1 },
      ],
    );
    await queue?.notify();
    await machine.vm.pause();
    const then = machine.memory.view(BUFFERS, 2 << 20).slice();
    const used = queue?.used().length ?? 0;
    await new Promise(resolve => setTimeout(resolve, 2));

    assert.is(Buffer.compare(machine.memory.view(BUFFERS, 2 << 20), then), 0);
    await machine.vm.resume();
    await queue?.back(1 - used);
    assert.is(machine.memory.readObj(DATA + 512 * 9, u32le), 9);
  }
});

test('dispose with transfers in flight ends them, and closes the files', async () => {
  const path = newFile('in-flight');
  const run = async () => {
    const machine = await VirtioMachine.start({ disks: [{ path }, { path, overlay: true }] });
    for (const device of [0, 1]) {
      const [queue] = await machine.setUp(device);
      for (let i = 0; i < 5; i++)
        queue?.add(
          [{ at: HEADER, length: 16 }],
          [
            { at: DATA, length: 1 << 20 },
            { at: STATUS, length: 1 },
          ],
        );
      await queue?.notify();
    }
    await machine.vm[Symbol.asyncDispose]();
  };
  await run();
  const before = leftovers();
  for (let i = 0; i < 3; i++) await run();
  assert.is(leftovers(before).fds, 0);
  assert.is(leftovers(before).threads, 0);
});

test('a disk that cannot be opened is refused before there is a VM, with its path and errno', async () => {
  const create = (disk: object) =>
    VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm', disks: [disk as never] });
  await codeOf(() => create({ path: folder }));
  const before = leftovers();
  const path = join(folder, 'missing');
  try {
    await create({ path });
    assert.unreachable();
  } catch (error) {
    const { code, errno, message } = error as { code: string; errno: number; message: string };
    assert.equal([code, errno, message.includes(path)], ['ERR_IMAGE_READ', 2, true]);
  }
  const odd = join(folder, 'odd');
  writeFileSync(odd, 'no whole sector');
  assert.is(await codeOf(() => create({ path: odd })), 'ERR_IMAGE_FORMAT');
  assert.is(await codeOf(() => create({ path: '' })), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => create({ path: odd, readonly: true })), 'ERR_UNKNOWN_OPTION');
  assert.is(await codeOf(() => create({ path: odd, overlay: true, readOnly: true })), 'ERR_INVALID_ARG_TYPE');
  assert.is(leftovers(before).fds, 0);
});

test.run();

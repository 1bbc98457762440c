// virtio-rng and virtio-blk over the model driver and a real file: data both ways, flush, identity, zeroes, discard, limits, and that
// dirty tracking sees what a disk stored in guest memory. Without KVM.

import { randomFillSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { KvmMemory, u8, u32le, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BLK_F, type Disk, REQUEST, RESULT, VirtioBlk } from '../../shared/virtio/blk.ts';
import { VirtioRng } from '../../shared/virtio/rng.ts';
import { FileDisk } from '../../src/devices/file-disk.ts';
import { codeOf } from '../errors.ts';
import { ModelDriver, type Segment } from '../virtio-driver.ts';

const test = suite('virtio devices');
const MEMORY = 0x20_0000;
const HEADER = 0x3_0000;
const STATUS = 0x3_1000;
const DATA = 0x4_0000;
const SECTORS = 256;
const SPLIT = { packed: false, eventIndex: true, indirect: false, size: 64 };
const PACKED = { packed: true, eventIndex: true, indirect: true, size: 64 };
const folder = mkdtempSync(join(tmpdir(), 'virtio-'));
test.after(() => rmSync(folder, { recursive: true }));

function newFile(name: string): { path: string; content: Buffer } {
  const content = randomFillSync(Buffer.alloc(SECTORS * 512));
  const path = join(folder, name);
  writeFileSync(path, content);
  return { path, content };
}

interface Request {
  readonly type: number;
  readonly sector?: number;
  readonly out?: readonly Segment[];
  readonly in?: readonly Segment[];
}

/** Does one request and waits for its end; returns the status and the used length. */
async function request(driver: ModelDriver, { type, sector = 0, out = [], in: into = [] }: Request) {
  const { memory } = driver;
  memory.writeObj(HEADER, u32le, type);
  memory.writeObj(HEADER + 8, u64le, BigInt(sector));
  memory.writeObj(STATUS, u8, 0xee);
  driver.add([{ at: HEADER, length: 16 }, ...out], [...into, { at: STATUS, length: 1 }], driver.choice.indirect);
  driver.kick();
  for (;;) {
    const [used] = driver.collect();
    if (used !== undefined) return { status: memory.readObj(STATUS, u8), length: used.length };
    assert.equal(driver.faults, []);
    await turn();
  }
}

test('rng fills what it is handed, 64 KiB at most, and dirty tracking sees it', () => {
  using memory = new KvmMemory(MEMORY);
  memory.enableDirtyTracking({ source: 'host' });
  const driver = new ModelDriver(new VirtioRng(randomFillSync), memory, PACKED).setUp();
  memory.getDirtyPages();
  driver.add(
    [],
    [
      { at: DATA, length: 100 },
      { at: DATA + 0x1000, length: 0x2_0000 },
    ],
  );
  driver.kick();
  assert.equal(
    driver.collect().map(({ length }) => length),
    [0x1_0000],
  );
  assert.ok(new Set(memory.view(DATA, 100)).size > 20);
  assert.ok(memory.view(DATA + 0x1000 + 0x1_0000, 0x1000).every(byte => byte === 0));
  assert.ok(
    memory.getDirtyPages().some(({ guestAddr, size }) => guestAddr <= DATA && guestAddr + size >= DATA + 0x1_0000),
  );
});

for (const choice of [SPLIT, PACKED]) {
  test(`blk reads, writes and flushes a file, ${choice.packed ? 'packed' : 'split'}`, async () => {
    using memory = new KvmMemory(MEMORY);
    const { path, content } = newFile('disk');
    await using disk = await FileDisk.open(path);
    const driver = new ModelDriver(new VirtioBlk(disk), memory, choice).setUp(BLK_F.FLUSH);
    assert.is(Number(driver.mmio.read(0x100, 8)), SECTORS);

    const parts = [
      { at: DATA, length: 512 },
      { at: DATA + 0x3000, length: 1024 },
    ];
    memory.enableDirtyTracking({ source: 'host' });
    const read = await request(driver, { type: REQUEST.IN, sector: 3, in: parts });
    assert.equal(read, { status: RESULT.OK, length: 1537 });
    assert.equal(Buffer.from(memory.view(DATA, 512)), content.subarray(1536, 2048));
    assert.equal(Buffer.from(memory.view(DATA + 0x3000, 1024)), content.subarray(2048, 3072));
    const dirty = memory.getDirtyPages().map(({ guestAddr }) => guestAddr);
    assert.ok(dirty.includes(DATA) && dirty.includes(DATA + 0x3000), 'what the disk stored is dirty');

    memory.memset(DATA, 0x5a, 1024);
    const written = await request(driver, { type: REQUEST.OUT, sector: 255 - 1, out: [{ at: DATA, length: 1024 }] });
    assert.equal(written, { status: RESULT.OK, length: 1 });
    assert.is((await request(driver, { type: REQUEST.FLUSH })).status, RESULT.OK);
    content.fill(0x5a, 254 * 512);
    assert.ok(readFileSync(path).equals(content));
  });
}

test('blk says its name, writes zeroes, and answers nonsense with a status', async () => {
  using memory = new KvmMemory(MEMORY);
  const { path } = newFile('other');
  await using disk = await FileDisk.open(path, { id: 'serial-1' });
  const driver = new ModelDriver(new VirtioBlk(disk), memory, SPLIT).setUp(BLK_F.FLUSH | BLK_F.WRITE_ZEROES);
  const status = async (what: Request) => (await request(driver, what)).status;

  assert.is(await status({ type: REQUEST.GET_ID, in: [{ at: DATA, length: 20 }] }), RESULT.OK);
  assert.is(Buffer.from(memory.view(DATA, 20)).toString(), 'serial-1'.padEnd(20, '\0'));
  memory.writeObj(DATA, u64le, 8n);
  memory.writeObj(DATA + 8, u32le, 4);
  memory.writeObj(DATA + 12, u32le, 1);
  assert.is(await status({ type: REQUEST.WRITE_ZEROES, out: [{ at: DATA, length: 16 }] }), RESULT.OK);
  assert.ok(
    readFileSync(path)
      .subarray(4096, 4096 + 2048)
      .every(byte => byte === 0),
  );
  assert.is(await status({ type: REQUEST.DISCARD, out: [{ at: DATA, length: 16 }] }), RESULT.UNSUPPORTED);
  assert.is(await status({ type: 99 }), RESULT.UNSUPPORTED);

  const one = [{ at: DATA, length: 512 }];
  assert.is(await status({ type: REQUEST.IN, sector: SECTORS, in: one }), RESULT.IO_ERROR);
  assert.is(await status({ type: REQUEST.IN, sector: 2 ** 52, in: one }), RESULT.IO_ERROR);
  assert.is(await status({ type: REQUEST.IN, in: [{ at: DATA, length: 100 }] }), RESULT.IO_ERROR);
  assert.is(
    await status({ type: REQUEST.OUT, sector: SECTORS - 1, out: [{ at: DATA, length: 1024 }] }),
    RESULT.IO_ERROR,
  );
  assert.is(await status({ type: REQUEST.IN }), RESULT.IO_ERROR);
  truncateSync(path, 512);
  assert.is(await status({ type: REQUEST.IN, sector: 8, in: one }), RESULT.IO_ERROR);
});

test('a read-only disk offers and does no writes', async () => {
  using memory = new KvmMemory(MEMORY);
  const { path, content } = newFile('read-only');
  await using disk = await FileDisk.open(path, { readOnly: true });
  const device = new VirtioBlk(disk);
  assert.is(device.features & (BLK_F.READ_ONLY | BLK_F.WRITE_ZEROES), BLK_F.READ_ONLY);
  const driver = new ModelDriver(device, memory, SPLIT).setUp(BLK_F.READ_ONLY);
  assert.is((await request(driver, { type: REQUEST.OUT, out: [{ at: DATA, length: 512 }] })).status, RESULT.IO_ERROR);
  assert.ok(readFileSync(path).equals(content));
});

test('a slow disk gets 64 requests at once; the others wait in the ring and all come back', async () => {
  using memory = new KvmMemory(MEMORY);
  let running = 0;
  let most = 0;
  const ends: (() => void)[] = [];
  const disk: Disk = {
    capacity: SECTORS * 512,
    readOnly: false,
    id: 'slow',
    read: () =>
      new Promise(resolve => {
        most = Math.max(most, ++running);
        ends.push(() => {
          running -= 1;
          resolve();
        });
      }),
    write: async () => {},
    flush: async () => {},
  };
  const driver = new ModelDriver(new VirtioBlk(disk), memory, { ...PACKED, size: 256 }).setUp(BLK_F.FLUSH);
  memory.memset(HEADER, 0, 16);
  // Indirect tables have room for the first ids only: three descriptors each.
  for (let i = 0; i < 80; i++)
    driver.add(
      [{ at: HEADER, length: 16 }],
      [
        { at: DATA, length: 512 },
        { at: STATUS, length: 1 },
      ],
    );
  driver.kick();
  assert.is(running, 64);
  let done = 0;
  while (done < 80) {
    ends.shift()?.();
    await turn();
    done += driver.collect().length;
  }
  assert.is(most, 64);
});

test('a reset while a request is under way: its end touches neither status nor ring', async () => {
  using memory = new KvmMemory(MEMORY);
  let end = () => {};
  const disk: Disk = {
    capacity: SECTORS * 512,
    readOnly: false,
    id: 'held',
    read: () =>
      new Promise(resolve => {
        end = resolve;
      }),
    write: async () => {},
    flush: async () => {},
  };
  const driver = new ModelDriver(new VirtioBlk(disk), memory, SPLIT).setUp(BLK_F.FLUSH);
  memory.memset(HEADER, 0, 16);
  memory.writeObj(STATUS, u8, 0xee);
  driver.add(
    [{ at: HEADER, length: 16 }],
    [
      { at: DATA, length: 512 },
      { at: STATUS, length: 1 },
    ],
  );
  driver.kick();
  driver.set(0x70, 0);
  end();
  await turn();
  await turn();
  assert.is(memory.readObj(STATUS, u8), 0xee);
  assert.equal(driver.collect(), []);
  assert.is(driver.interrupts, 0);
});

test('what is no disk is refused', async () => {
  writeFileSync(join(folder, 'odd'), 'x');
  assert.is(await codeOf(FileDisk.open(join(folder, 'odd'))), 'ERR_IMAGE_FORMAT');
  assert.is(await codeOf(FileDisk.open(folder, { readOnly: true })), 'ERR_IMAGE_FORMAT');
  assert.is(await codeOf(FileDisk.open(join(folder, 'none'))), 'ERR_IMAGE_READ');
  assert.is(await codeOf(FileDisk.open(join(folder, 'odd'), { write: true } as never)), 'ERR_UNKNOWN_OPTION');
});

test.run();

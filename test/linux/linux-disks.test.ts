// Disks and an entropy device, driven by Debian's own drivers in one guest: what it sees of them, what it writes and syncs, what a read-only
// disk and an overlay keep out, flushes, discards and zeroes as they arrive, and dirty tracking of what a disk stores in memory.

import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { type DirtyPageInfo, virtioDevice } from 'node-kvm';
import * as assert from 'uvu/assert';
import { Conversation, facts, linuxMachine, linuxSuite } from '../linux-guest.ts';
import type { Note, NotingDiskData } from './devices/noting-disk.ts';

const test = linuxSuite('linux disks');

const MIB = 1 << 20;
const PAGE = 4096;
const MEMORY = 128 * MIB;
const DISK = 8 * MIB;

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-linux-'));
test.after(() => rmSync(folder, { recursive: true }));
const file = (name: string, contents: Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
};
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

/** What the guest cannot have in its memory unless it read a disk; each page ends differently. */
const MARK = randomBytes(PAGE);
function marked(bytes: number): Buffer {
  const contents = Buffer.alloc(bytes, MARK);
  for (let page = 0; page * PAGE < bytes; page++) contents.writeUInt32LE(page, (page + 1) * PAGE - 4);
  return contents;
}

const WRITTEN = Array.from({ length: 9000 }, (_, line) => `${line + 1}\n`).join('');

const job = `
load virtio_mmio; load virtio_blk; load virtio_rng
for disk in vda vdb vdc vdd; do
  cd /sys/block/$disk
  echo $disk=$(cat size ro queue/write_cache queue/discard_max_bytes queue/write_zeroes_max_bytes queue/max_segments serial)
done
cd /

echo rng=$(cat /sys/class/misc/hw_random/rng_current)
echo random_bytes=$(head -c 4096 /dev/hwrng | wc -c)
echo random_one=$(head -c 32 /dev/hwrng | md5sum)
echo random_two=$(head -c 32 /dev/hwrng | md5sum)

mke2fs /dev/vda > /dev/null
mkdir /mnt
mount -t ext4 /dev/vda /mnt
seq 1 9000 > /mnt/written
sync
echo synced
read line
umount /mnt
blkdiscard /dev/vda
echo discarded_sum=$(md5sum < /dev/vda)

echo read_only_sum=$(dd if=/dev/vdb bs=1M count=1 iflag=direct 2> /dev/null | md5sum)
dd if=/dev/zero of=/dev/vdb bs=4k count=1 2> /dev/null; echo read_only_write=$?
blockdev --setrw /dev/vdb; dd if=/dev/zero of=/dev/vdb bs=4k count=1 2> /dev/null; echo set_writable_write=$?

echo changed | dd of=/dev/vdc bs=512 seek=8 conv=notrunc,sync,fsync 2> /dev/null
echo 3 > /proc/sys/vm/drop_caches
echo overlay=$(dd if=/dev/vdc bs=512 skip=8 count=1 2> /dev/null | head -n 1)
echo overlay_beside_sum=$(dd if=/dev/vdc bs=512 skip=9 count=100 2> /dev/null | md5sum)

dd if=/dev/zero of=/dev/vdd bs=4k seek=2 count=1 oflag=direct conv=notrunc,fsync 2> /dev/null
blkdiscard -o ${MIB} -l 65536 /dev/vdd
zero-blocks /dev/vdd 4096 8192

read-when-told /dev/vdb ${2 * MIB} ${MIB}
`;

/** What came of the boot: all tests look at the same one. */
interface Visit {
  readonly said: ReadonlyMap<string, string>;
  readonly text: string;
  /** Each disk's file: the first when its guest had synced, and when it had discarded everything. */
  readonly synced: Buffer;
  readonly discarded: { readonly contents: Buffer; readonly blocks: number };
  readonly readOnly: Buffer;
  readonly base: Buffer;
  readonly notes: readonly Note[];
  /** Pages of guest memory that hold the second disk's third MiB, and what became dirty while it was read. */
  readonly pagesRead: readonly number[];
  readonly dirty: readonly DirtyPageInfo[];
}

async function visit(): Promise<Visit> {
  const plain = file('plain', Buffer.alloc(DISK, 0xff));
  const readOnly = file('read-only', marked(DISK));
  const base = file('base', marked(DISK));
  const { port1, port2 } = new MessageChannel();
  const notes: Note[] = [];
  port1.on('message', (note: Note) => notes.push(note));
  const noting = virtioDevice(new URL('./devices/noting-disk.js', import.meta.url), {
    data: { bytes: DISK, port: port2 } satisfies NotingDiskData,
    transfer: [port2],
  });
  await using vm = await linuxMachine({
    cmdline: 'console=ttyS0 panic=-1 quiet',
    memory: MEMORY,
    disks: [
      { path: plain, id: 'plain-disk' },
      { path: readOnly, readOnly: true },
      { path: base, overlay: true, id: 'a-name-that-is-longer-than-20-bytes' },
    ],
    rng: true,
    virtio: [noting],
    programs: ['zero-blocks', 'read-when-told'],
    job,
  });
  const guest = new Conversation(vm);
  await vm.start();

  await guest.until(/^synced/m);
  const synced = readFileSync(plain);
  guest.say('go on');

  await guest.until(/^armed/m);
  // KVM's log alone does not see what other threads of this process store.
  vm.memory.enableDirtyTracking({ source: 'bitmap' });
  vm.memory.getDirtyPages();
  guest.say('read');
  await guest.until(/^took/m);
  const dirty = vm.memory.getDirtyPages();
  const view = vm.memory.view(0, MEMORY);
  const ram = Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  const pagesRead: number[] = [];
  for (let page = 0; page < MEMORY; page += PAGE) {
    const number = ram.readUInt32LE(page + PAGE - 4) - (2 * MIB) / PAGE;
    const isMarked = ram.compare(MARK, 0, PAGE - 4, page, page + PAGE - 4) === 0;
    if (isMarked && number >= 0 && number < MIB / PAGE) pagesRead.push(page);
  }
  guest.say('end');
  const { reason, error } = await vm.finished;
  assert.is(reason, 'power-off', `${error?.message}\n${guest.text}`);
  port1.close();
  return {
    said: facts(guest.text),
    text: guest.text,
    synced,
    discarded: { contents: readFileSync(plain), blocks: statSync(plain).blocks },
    readOnly: readFileSync(readOnly),
    base: readFileSync(base),
    notes,
    pagesRead,
    dirty,
  };
}

let visiting: Promise<Visit> | undefined;
/** The first test waits for the boot, the others have it. */
const visited = () => {
  visiting ??= visit();
  return visiting;
};

test('sizes, ids, what can be written, cached, discarded and zeroed', async () => {
  const { said, text } = await visited();
  const sectors = DISK / 512;
  const zeroes = 16 * MIB;
  // The file's inode number is the name of a disk that was given none.
  const inode = statSync(join(folder, 'read-only')).ino;
  const discards = 0xffff_ffff * 512;
  assert.is(said.get('vda'), `${sectors} 0 write back ${discards} ${zeroes} 254 plain-disk`, text);
  assert.is(said.get('vdb'), `${sectors} 1 write back 0 0 254 ${inode}`);
  assert.is(said.get('vdc'), `${sectors} 0 write back 0 ${zeroes} 254 a-name-that-is-longe`);
  assert.is(said.get('vdd'), `${sectors} 0 write back ${discards} ${zeroes} 254 notes`);
});

test('random bytes', async () => {
  const { said } = await visited();
  assert.match(said.get('rng') ?? '', /^virtio_rng/);
  assert.is(said.get('random_bytes'), '4096');
  assert.is.not(said.get('random_one'), said.get('random_two'));
});

test('a file that the guest has synced is on the disk', async () => {
  const { synced } = await visited();
  // Wherever the file system put its blocks, of 1 KiB or more.
  for (let at = 0; at + 1024 <= WRITTEN.length; at += 1024)
    assert.is(synced.indexOf(WRITTEN.slice(at, at + 1024)) % 1024, 0, `bytes from ${at} on`);
});

test('a disk that was discarded whole is zeroes, and takes no room', async () => {
  const { said, discarded } = await visited();
  assert.is(said.get('discarded_sum'), `${md5(Buffer.alloc(DISK))} -`);
  assert.ok(discarded.contents.equals(Buffer.alloc(DISK)));
  assert.is(discarded.blocks, 0);
});

test('a read-only disk is read, and refuses what is written', async () => {
  const { said, readOnly } = await visited();
  const contents = marked(DISK);
  assert.is(said.get('read_only_sum'), `${md5(contents.subarray(0, MIB))} -`);
  assert.is(said.get('read_only_write'), '1');
  assert.is(said.get('set_writable_write'), '1');
  assert.ok(readOnly.equals(contents));
});

test('an overlay has what was written, and its base stays as it was', async () => {
  const { said, base } = await visited();
  const contents = marked(DISK);
  assert.is(said.get('overlay'), 'changed');
  assert.is(said.get('overlay_beside_sum'), `${md5(contents.subarray(9 * 512, 109 * 512))} -`);
  assert.ok(base.equals(contents));
});

test('writes, flushes, discards and zeroes arrive as they were asked for, in order', async () => {
  const { notes } = await visited();
  const wanted: Note[] = [['write', 8192, 4096], 'flush', ['discard', MIB, 65_536], ['zeroes', 4096, 8192], 'flush'];
  assert.equal(notes, wanted);
});

test('dirty tracking sees what a disk stored in memory', async () => {
  const { pagesRead, dirty } = await visited();
  assert.is(pagesRead.length, MIB / PAGE);
  const clean = pagesRead.filter(
    page => !dirty.some(({ guestAddr, size }) => guestAddr <= page && page < guestAddr + size),
  );
  assert.equal(clean, []);
});

test.run();

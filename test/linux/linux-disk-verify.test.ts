// 256 MiB from one disk to another, and random reads and writes from both vCPUs, each checked; then guest and host agree on every byte. The
// guest has much less memory than its disks have bytes, so that they really are read and written. Prints how long it took.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { Conversation, facts, linuxMachine, linuxSuite } from '../linux-guest.ts';
import { slowness } from '../slowness.ts';

const test = linuxSuite('linux disk verifier');

const MIB = 1 << 20;
const SECTOR = 512;
const PIECE = 65_536;
const DISK_MIB = 256;
const THREADS = 4;
const REQUESTS = 150;
const SEED = 0x5eed;

/** For what is printed: seconds since this file began. */
const clock = () => `${(performance.now() / 1000).toFixed(0)} s`;

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-linux-'));
test.after(() => rmSync(folder, { recursive: true }));

const RANDOM = randomBytes(MIB);
/** One MiB of the source: random bytes, but for each sector's number in its first four. */
function original(index: number): Buffer {
  const bytes = Buffer.from(RANDOM);
  for (let at = 0; at < MIB; at += SECTOR) bytes.writeUInt32LE((index * MIB + at) / SECTOR, at);
  return bytes;
}

function makeDisks(): { source: string; target: string } {
  const paths = { source: join(folder, 'source'), target: join(folder, 'target') };
  const source = openSync(paths.source, 'w');
  for (let index = 0; index < DISK_MIB; index++) writeSync(source, original(index));
  closeSync(source);
  const target = openSync(paths.target, 'w');
  ftruncateSync(target, DISK_MIB * MIB);
  closeSync(target);
  return paths;
}

/** The hash of a disk, and how many of its sectors are not the source's; each of those must have been made by the verifier for its place. */
function lookAt(path: string): { hash: string; written: number } {
  const file = openSync(path, 'r');
  const hash = createHash('sha256');
  const bytes = Buffer.alloc(MIB);
  let written = 0;
  for (let index = 0; index < DISK_MIB; index++) {
    assert.is(readSync(file, bytes, 0, MIB, index * MIB), MIB);
    hash.update(bytes);
    const source = original(index);
    for (let at = 0; at < MIB; at += SECTOR) {
      // Most of it is equal, and compared faster in larger pieces.
      if (at % PIECE === 0 && bytes.compare(source, at, at + PIECE, at, at + PIECE) === 0) {
        at += PIECE - SECTOR;
        continue;
      }
      if (bytes.compare(source, at, at + SECTOR, at, at + SECTOR) === 0) continue;
      assert.is(Number(bytes.readBigUInt64LE(at)), (index * MIB + at) / SECTOR);
      written += 1;
    }
  }
  closeSync(file);
  return { hash: hash.digest('hex'), written };
}

/** Runs a command, and says when it began and ended, in seconds. */
const timed = (name: string, command: string) => `
${name}_begin=$(cut -d ' ' -f 1 /proc/uptime)
${command}
echo ${name}_time=$${name}_begin $(cut -d ' ' -f 1 /proc/uptime)
`;
const job = `
load virtio_mmio; load virtio_blk
${timed('copy', 'dd if=/dev/vda of=/dev/vdb bs=1M conv=fsync 2> /dev/null; echo copy_status=$?')}
${timed('verify', `disk-verify /dev/vdb ${THREADS} ${REQUESTS} ${SEED}; echo verify_status=$?`)}
echo 3 > /proc/sys/vm/drop_caches
${timed('hash', 'echo sum=$(sha256sum < /dev/vdb)')}
`;

test('256 MiB by dd, random requests from two vCPUs, equal hashes', async () => {
  const { source, target } = makeDisks();
  console.log(`disks made: ${clock()}`);
  await using vm = await linuxMachine({
    cmdline: 'console=ttyS0 panic=-1 quiet',
    vcpus: 2,
    memory: 96 * MIB,
    deadlineMs: 25_000 * slowness,
    disks: [{ path: source, readOnly: true }, { path: target }],
    programs: ['disk-verify'],
    job,
  });
  const guest = new Conversation(vm);
  // As it comes: whatever ends this file says how far it was.
  vm.console.on('data', chunk => process.stdout.write(chunk));
  const ended = once(vm.console, 'close');
  await vm.start();
  const result = await vm.finished;
  await ended;
  const { text } = guest;
  console.log(`guest ended: ${clock()}`);
  assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
  const said = facts(text);
  const number = (key: string) => Number(said.get(key));
  const seconds = (name: string) => {
    const [begin = Number.NaN, end = Number.NaN] = (said.get(`${name}_time`) ?? '').split(' ').map(Number);
    return end - begin;
  };
  const verified = (number('verify_written') + number('verify_read')) / MIB;
  for (const [name, mib] of [
    ['copy', DISK_MIB],
    ['verify', verified],
    ['hash', DISK_MIB],
  ] as const)
    console.log(
      `${name}: ${mib.toFixed(0)} MiB in ${seconds(name).toFixed(1)} s, ${(mib / seconds(name)).toFixed(1)} MiB/s`,
    );

  assert.is(number('copy_status'), 0, text);
  assert.equal([number('verify_status'), number('verify_wrong'), number('verify_cpus')], [0, 0, 2], text);
  const { hash, written } = lookAt(target);
  assert.is(said.get('sum'), `${hash} -`, text);
  assert.is(written, number('verify_sectors'));
  console.log(`compared: ${clock()}`);
});

test.run();

// virtio-balloon under Linux's own driver: memory that the guest gives up when it is asked to and takes back, pages that it reports as free by
// itself, what it says of its memory, and what the host and its dirty tracking see of all that. One guest for all.

import { balloon } from 'node-kvm';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { GuestShell, SharedGuest } from '../guest-shell.ts';
import { linuxSuite } from '../linux-guest.ts';
import { slowness } from '../slowness.ts';

const test = linuxSuite('linux balloon');
const MIB = 1 << 20;
const MEMORY = 256 * MIB;
const LIMIT_MS = 10_000 * slowness;

const host = balloon();
const shared = new SharedGuest(() =>
  GuestShell.boot({
    memory: MEMORY,
    virtio: [host.device],
    job: 'load virtio_mmio; load virtio_balloon; mkdir /fill; mount -t tmpfs -o size=90% fill /fill',
  }),
);
test.after(() => shared.dispose());

async function until(condition: () => boolean, what: () => string): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${LIMIT_MS} ms: ${what()}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

const inflated = (bytes: number) =>
  until(
    () => host.actual === bytes,
    () => `${host.actual} of ${bytes} bytes in the balloon`,
  );

/** A line of the guest's /proc/meminfo, in bytes. */
async function meminfo(guest: GuestShell, name: string): Promise<number> {
  return 1024 * Number(/\d+/.exec(await guest.run(`grep ${name}: /proc/meminfo`))?.[0]);
}

/** What is free when it is more than `bytes`. Pages are not free while they are being reported, some 100 MiB at a time. */
async function freeAbove(guest: GuestShell, bytes: number): Promise<number> {
  for (const end = performance.now() + LIMIT_MS; ; ) {
    const free = await meminfo(guest, 'MemFree');
    if (free > bytes) return free;
    assert.ok(performance.now() < end, `no more than ${free} bytes are free`);
  }
}

/** Memory of this process that is there, the guest's included. */
const resident = () => process.memoryUsage.rss();

test('statistics are what the guest itself says', async () => {
  const guest = await shared.get();
  let stats = await host.stats();
  assert.is(stats.total, await meminfo(guest, 'MemTotal'));
  assert.ok((stats.available ?? 0) > 0 && (stats.minorFaults ?? 0) > 0);
  const free = await freeAbove(guest, 160 * MIB);
  stats = await host.stats();
  assert.ok(Math.abs((stats.free ?? 0) - free) < 32 * MIB, `free: ${free}, and then ${stats.free}`);

  await guest.run(`dd if=/dev/zero of=/fill/a bs=1M count=64 2>/dev/null`);
  const later = await host.stats();
  assert.ok((later.free ?? 0) < free - 32 * MIB, 'another question has an answer of its own');
  await guest.run('rm /fill/a');
});

test('free pages come back by themselves', async () => {
  const guest = await shared.get();
  await guest.run('dd if=/dev/zero of=/fill/a bs=1M count=128 2>/dev/null');
  const [full, before] = [resident(), host.givenBack];
  await guest.run('rm /fill/a');
  await until(
    () => host.givenBack - before >= 96 * MIB,
    () => `${host.givenBack - before} bytes came back`,
  );
  assert.ok(full - resident() > 64 * MIB, `${full - resident()} bytes less are resident`);
  assert.is(host.actual, 0, 'that is not the balloon');
});

test('a balloon that grows takes the guest’s free memory, and its pages go to the host', async () => {
  const guest = await shared.get();
  await guest.run('dd if=/dev/zero of=/fill/a bs=1M count=128 2>/dev/null; rm /fill/a');
  const [free, before] = [await freeAbove(guest, 160 * MIB), host.givenBack];
  host.setTarget(128 * MIB);
  await inflated(128 * MIB);
  const left = await meminfo(guest, 'MemFree');
  assert.ok(free - left > 112 * MIB, `free before: ${free}, now: ${left}`);
  assert.ok(host.givenBack - before >= 128 * MIB, `${host.givenBack - before} bytes came back`);
});

test('dirty tracking has the pages that were given up as written', async () => {
  const { vm } = await shared.get();
  const { memory } = vm;
  memory.enableDirtyTracking();
  memory.getDirtyPages();
  host.setTarget(144 * MIB);
  await inflated(144 * MIB);
  const dirty = memory.getDirtyPages().reduce((sum, { size }) => sum + Number(size), 0);
  memory.disableDirtyTracking();
  assert.ok(dirty >= 16 * MIB, `${dirty} bytes are dirty`);
});

test('a balloon that shrinks gives it back, and the pages are memory again', async () => {
  const guest = await shared.get();
  host.setTarget(0);
  await inflated(0);
  await freeAbove(guest, 160 * MIB);
  await guest.run('dd if=/dev/zero of=/fill/c bs=1M count=128 2>/dev/null');
  const [written, read] = (await guest.run('yes | head -c 8388608 | tee /fill/d | md5sum; md5sum < /fill/d')).split(
    '\n',
  );
  assert.is(written, read);
});

test('the machine powers off: nobody tells statistics any more', async () => {
  const guest = await shared.get();
  assert.is((await guest.end()).reason, 'power-off');
  assert.is(await codeOf(host.stats()), 'ERR_STATE');
});

test.run();

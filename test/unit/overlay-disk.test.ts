// An overlay over a file, against a plain array: random reads and writes, several at the same time; and a disk that is held back.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileDisk } from '../../src/devices/file-disk.ts';
import { openDisk } from '../../src/devices/open-disk.ts';
import { OverlayDisk } from '../../src/devices/overlay-disk.ts';
import { PausableDisk } from '../../src/devices/pausable-disk.ts';
import { fdCount } from '../process-state.ts';

const test = suite('overlay disk');

/** More than one piece of the map of written sectors. */
const SECTORS = 70_000;
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-test-'));
const path = join(folder, 'base');
const original = Buffer.alloc(SECTORS * 512);
for (let sector = 0; sector < SECTORS; sector++) original.writeUInt32LE(sector + 1, sector * 512);

test.before(() => writeFileSync(path, original));
test.after(() => rmSync(folder, { recursive: true }));

/** A few sectors anywhere, more often around the places where pieces of the map meet. */
const range = fc
  .tuple(
    fc.oneof(fc.nat(40), fc.integer({ min: 32_750, max: 32_790 }), fc.nat(SECTORS - 65)),
    fc.integer({ min: 1, max: 64 }),
  )
  .map(([start, count]) => ({ at: start * 512, length: count * 512 }));

test('it reads as an array that was written the same way, and the file below stays', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(range, fc.constantFrom('write', 'zero', 'read')), { maxLength: 30 }),
      async steps => {
        const model = Buffer.from(original);
        await using disk = await openDisk({ path, overlay: true });
        for (const [index, [{ at, length }, kind]] of steps.entries()) {
          const bytes = new Uint8Array(length);
          if (kind === 'write') {
            bytes.fill(index + 1);
            // In two views, as requests come.
            await disk.write([bytes.subarray(0, 200), bytes.subarray(200)], at);
            model.set(bytes, at);
          } else if (kind === 'zero') {
            await disk.writeZeroes?.(at, length);
            model.fill(0, at, at + length);
          } else {
            await disk.read([bytes.subarray(0, 700 % length), bytes.subarray(700 % length)], at);
            assert.is(Buffer.compare(bytes, model.subarray(at, at + length)), 0);
          }
        }
      },
    ),
    { numRuns: 25 },
  );
  assert.is(Buffer.compare(readFileSync(path), original), 0);
});

test('writes at the same time to sectors side by side both stay', async () => {
  await using disk = await openDisk({ path, overlay: true });
  const writes = Array.from({ length: 32 }, (_, i) => disk.write([new Uint8Array(512).fill(i + 1)], i * 512));
  await Promise.all(writes);
  const bytes = new Uint8Array(33 * 512);
  await disk.read([bytes], 0);
  for (let i = 0; i < 32; i++) assert.is(bytes[i * 512 + 511], i + 1);
  assert.is(bytes[32 * 512], 33);
});

test('it leaves no file in the folder for temporary ones, and no descriptor', async () => {
  const overlays = () => readdirSync(tmpdir()).filter(name => name.startsWith('node-kvm-overlay-')).length;
  const [files, fds] = [overlays(), fdCount()];
  {
    await using disk = await OverlayDisk.over(await FileDisk.open(path, { readOnly: true }));
    assert.is(disk.capacity, SECTORS * 512);
    assert.is(overlays(), files);
    assert.is(fdCount(), fds + 2);
  }
  assert.is(fdCount(), fds);
});

test('held back, nothing begins, and what is under way ends first', async () => {
  await using files = await openDisk({ path, readOnly: true });
  const disk = new PausableDisk(files);
  const [early, late] = [new Uint8Array(512), new Uint8Array(512)];
  const first = disk.read([early], 512);
  await disk.pause();
  assert.is(early[0], 2);
  let ended = false;
  const second = disk.read([late], 1024).then(() => {
    ended = true;
  });
  await new Promise(resolve => setTimeout(resolve, 5));
  assert.equal([ended, late[0]], [false, 0]);
  disk.resume();
  await Promise.all([first, second]);
  assert.is(late[0], 3);
});

test.run();

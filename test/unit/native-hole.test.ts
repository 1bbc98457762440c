// Holes in files through the addon. Without KVM.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';

const test = suite('native holes');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-test-'));
const path = join(folder, 'file');
const SIZE = 1 << 20;

test.before.each(() => writeFileSync(path, Buffer.alloc(SIZE, 7)));
test.after(() => rmSync(folder, { recursive: true }));

test('a hole reads as zeroes, takes no room, and leaves the size', async () => {
  const file = openSync(path, 'r+');
  const before = statSync(path).blocks;
  assert.is(await native().punchHole(file, 8192, 512 * 1024), true);
  closeSync(file);

  const expected = Buffer.alloc(SIZE, 7).fill(0, 8192, 8192 + 512 * 1024);
  assert.equal(readFileSync(path), expected);
  assert.ok(before - statSync(path).blocks >= 1000);
});

test('what the system refuses rejects with its errno, and wrong arguments are refused', async () => {
  const { punchHole } = native();
  const file = openSync(path, 'r');
  try {
    await punchHole(file, 0, 4096);
    assert.unreachable();
  } catch (error) {
    const { code, errno, syscall } = error as { code: string; errno: number; syscall: string };
    assert.equal([code, errno, syscall], ['ERR_SYSCALL', 9, 'fallocate']);
  }
  closeSync(file);
  for (const bad of [-1, 0.5, 2 ** 31]) assert.is(await codeOf(() => punchHole(bad, 0, 1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => punchHole(0, -1, 1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => punchHole(0, 0, 0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => punchHole(null as never, 0, 1)), 'ERR_INVALID_ARG_TYPE');
});

test.run();

// Regions never overlap, whatever side they touch from.

import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: overlap');

const PAGE = 4096;
const HERE = 0x1000_0000;

test('each way to overlap is refused, neighbours are not', async () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.addRegion(HERE, 4 * PAGE);

  for (const [at, pages] of [
    [HERE, 4],
    [HERE + PAGE, 1],
    [HERE - PAGE, 2],
    [HERE + 3 * PAGE, 4],
    [HERE - PAGE, 9],
    [0, 1],
    [15 * PAGE, 2],
  ] as const) {
    assert.is(await codeOf(() => memory.addRegion(at, pages * PAGE)), 'ERR_MEMORY_OVERLAP');
    assert.is(
      await codeOf(() => memory.addExternalRegion(at, memory.hostAddress(), pages * PAGE, false)),
      'ERR_MEMORY_OVERLAP',
    );
  }
  memory.addRegion(HERE - PAGE, PAGE);
  memory.addRegion(HERE + 4 * PAGE, PAGE);
  memory.addRegion(16 * PAGE, PAGE);

  assert.equal(
    memory.regions().map(({ guestAddr }) => guestAddr),
    [0, 16 * PAGE, HERE - PAGE, HERE, HERE + 4 * PAGE],
  );
});

test('a removed region makes room; only the address where one begins names it', async () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.addRegion(HERE, 4 * PAGE);
  assert.is(await codeOf(() => memory.removeRegion(HERE + PAGE)), 'ERR_MEMORY_UNMAPPED');
  memory.removeRegion(HERE);
  assert.is(await codeOf(() => memory.removeRegion(HERE)), 'ERR_MEMORY_UNMAPPED');
  memory.addRegion(HERE + PAGE, 4 * PAGE);
  assert.is(memory.size(), 20 * PAGE);
});

test.run();

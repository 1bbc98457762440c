// The API workload: each operation goes over all memory and its sum holds; a peer that is not installed, or cannot be built, is skipped with
// what to do.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LineProcess } from '../../src/main/lab/peers/line-process.ts';
import { peerOpener } from '../../src/main/lab/peers/peer.ts';
import { findVmMemory } from '../../src/main/lab/peers/vm-memory.ts';
import { memoryApi } from '../../src/main/lab/workloads/memory-api.ts';
import { codeOf } from '../errors.ts';
import { labContext } from '../lab-context.ts';

const test = suite('lab: memory API');

const variants = memoryApi.variants(labContext({ peers: false }));

test('reads are not tracked, writes are with and without', () => {
  assert.equal(
    variants.map(({ parameters }) => `${parameters['operation']} ${parameters['tracking']}`),
    ['read off', 'write off', 'write on', 'read-obj off', 'write-obj off', 'write-obj on'],
  );
});

for (const variant of variants) {
  const { operation, tracking } = variant.parameters;
  test(`${operation}, tracking ${tracking}: a figure that fits the time`, async () => {
    await using open = await variant.open();

    for (const scale of [1, 3]) {
      const { value } = await open.repeat(scale);
      const bytes = scale * 2 ** 20;
      const expected = variant.unit === 'ns' ? open.lastNs / (bytes / 4) : bytes / open.lastNs;

      assert.ok(value > 0);
      assert.ok(Math.abs(value / expected - 1) < 1e-9);
    }
  });
}

test('sizes that are too small or too large are said', () => {
  const context = labContext({ sizes: [4096, 2 ** 40] });

  assert.equal(memoryApi.variants(context), []);
  assert.is(context.skipped.length, 1);
});

/** A folder with a crate by this name, and one with an empty program by that name. */
function fakeInstallation(crate: string, program: string): { registry: string; path: string[]; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-lab-'));
  mkdirSync(join(folder, crate));
  writeFileSync(join(folder, program), '#!/bin/sh\n', { mode: 0o755 });
  return { registry: folder, path: [folder], folder };
}

test('what is missing of vm-memory is named, with the packages that have it', () => {
  const { registry, path, folder } = fakeInstallation('vm-memory-0.10.0', 'cargo');
  try {
    assert.equal(findVmMemory(registry, path), {
      found: true,
      cargo: join(folder, 'cargo'),
      crate: 'vm-memory-0.10.0',
    });
    for (const missing of [findVmMemory(registry, []), findVmMemory(join(folder, 'nowhere'), path)]) {
      assert.is(missing.found, false);
      assert.match(missing.found ? '' : missing.reason, /not installed.*librust-vm-memory-dev/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a peer that does not open is skipped with the reason', async () => {
  const context = labContext();
  const open = peerOpener(context, 'broken', () => Promise.reject(new Error('no such thing')));

  assert.is(await open(), undefined);
  assert.equal(context.skipped, [{ what: 'peer broken', reason: 'no such thing' }]);
});

test('a process that ends instead of answering is an error with what it said; so is one that is not there', async () => {
  await using failing = new LineProcess('/bin/sh', ['-c', 'read line; echo "$line!"; echo sorry >&2']);
  assert.is(await failing.ask('hello'), 'hello!');
  const error = await failing.ask('again').catch((thrown: unknown) => thrown);
  assert.is(await codeOf(Promise.reject(error)), 'ERR_LAB_ACTOR');
  assert.match(String(error), /sorry/);

  await using missing = new LineProcess('/nowhere/at-all');
  assert.is(await codeOf(missing.ask('hello')), 'ERR_LAB_ACTOR');
});

test.run();

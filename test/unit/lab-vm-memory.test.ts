// vm-memory beside the library, where it is installed: it is compiled into a cache folder, does every operation, and its sums are the same.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { findVmMemory } from '../../src/main/lab/peers/vm-memory.ts';
import { memoryApi } from '../../src/main/lab/workloads/memory-api.ts';
import { suiteUnless } from '../harness.ts';
import { labContext } from '../lab-context.ts';

const installed = findVmMemory();
const test = suiteUnless(installed.found ? undefined : installed.reason, 'lab: vm-memory');

const cache = mkdtempSync(join(tmpdir(), 'node-kvm-peer-'));
process.env['XDG_CACHE_HOME'] = cache;
test.after(() => rmSync(cache, { recursive: true }));

test('every variant has it as a column, and its results are checked like our own', async () => {
  const context = labContext();
  const variants = memoryApi.variants(context);
  assert.ok(variants.length > 0);

  for (const variant of variants) {
    const [[name, openPeer] = ['', undefined], ...others] = Object.entries(variant.peers ?? {});
    assert.match(name, /^vm-memory \d/);
    assert.equal(others, []);
    await using peer = await openPeer?.();
    const sample = await peer?.repeat(2);
    assert.ok((sample?.value ?? 0) > 0, JSON.stringify(context.skipped));
  }
  assert.equal(context.skipped, []);
});

test.run();

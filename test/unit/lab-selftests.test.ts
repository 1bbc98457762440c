// The kernel's dirty_log_perf_test as a peer: its options, its output, and what is said when it is not there or does not run here. The program
// of these tests is a script that prints what the kernel's prints.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  dirtyLogArguments,
  findDirtyLogTest,
  openDirtyLogTest,
  readDirtyLogOutput,
} from '../../src/main/lab/peers/selftests.ts';
import { codeOf } from '../errors.ts';

const test = suite('lab: selftests');

const OUTPUT = `Test iterations: 2
Testing guest mode: PA-bits:ANY, VA-bits:48,  4K pages
guest physical test memory: [0xfbfff000, 0xfffff000)
Populate memory time: 0.500000000s
Enabling dirty logging time: 0.000100000s

Iteration 1 dirty memory time: 0.100000000s
Iteration 1 get dirty log time: 0.020000000s
Iteration 1 clear dirty log time: 0.030000000s
Iteration 2 dirty memory time: 0.050000000s
Iteration 2 get dirty log time: 0.020000000s
Iteration 2 clear dirty log time: 0.030000000s
Disabling dirty logging time: 0.700000000s
Get dirty log over 2 iterations took 0.040000000s. (Avg 0.020000000s/iteration)
`;

const plain = { vcpus: 2, bytes: 2 ** 20, writes: 100, overlap: false, slots: 1, manual: true };

/** Runs the body with a folder that has a dirty_log_perf_test with this script. */
async function withProgram(script: string, body: (folder: string, file: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-selftests-'));
  try {
    const file = join(folder, 'dirty_log_perf_test');
    writeFileSync(file, `#!/bin/sh\n${script}`, { mode: 0o755 });
    await body(folder, file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('iterations count, populating and switching the log do not', () => {
  const { seconds, iterations } = readDirtyLogOutput(OUTPUT);

  assert.is(iterations, 2);
  assert.ok(Math.abs(seconds - 0.25) < 1e-12);
});

test('the axes are its options', () => {
  assert.equal(dirtyLogArguments(plain), ['-v', '2', '-b', '524288', '-i', '3', '-x', '1']);
  assert.equal(dirtyLogArguments({ ...plain, writes: 10, overlap: true, slots: 8, manual: false }).slice(6), [
    '-x',
    '8',
    '-w',
    '10',
    '-o',
    '-g',
  ]);
});

test('it is found in a folder, and its figure is pages per second', () =>
  withProgram(`cat <<'END'\n${OUTPUT}END\n`, async (folder, file) => {
    assert.equal(findDirtyLogTest([folder]), { found: true, file });

    await using peer = await openDirtyLogTest(file, plain);

    const { value } = await peer.repeat(1);
    assert.ok(Math.abs(value - (256 * 2) / 0.25) < 1e-6);
    assert.ok(Math.abs(peer.lastNs - 0.25e9) < 1);
  }));

test('where there is none, the reason says how to get it', () => {
  const missing = findDirtyLogTest(['/nowhere']);

  assert.is(missing.found, false);
  assert.match(missing.found ? '' : missing.reason, /not installed.*NODE_KVM_SELFTESTS/);
});

test('one that fails, or prints something else, is an error with what it said', async () => {
  await withProgram('echo no dirty log here >&2; exit 4', async (_, file) => {
    const failing = openDirtyLogTest(file, plain);
    assert.match(String(await failing.catch((error: unknown) => error)), /no dirty log here/);
    assert.is(await codeOf(failing), 'ERR_LAB_ACTOR');
  });
  await withProgram('echo hello', async (_, file) => {
    assert.is(await codeOf(openDirtyLogTest(file, plain)), 'ERR_LAB_RESULT');
  });
});

test.run();

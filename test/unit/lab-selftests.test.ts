// The kernel's selftests as peers: their options, their output, and what is said when one is not there or does not run here. The programs
// of these tests are scripts that print what the kernel's print.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { measureGroup } from '../../src/main/lab/measure.ts';
import {
  accessTrackingArguments,
  dirtyLogArguments,
  findSelftest,
  memslotArguments,
  openAccessTrackingTest,
  openDirtyLogTest,
  openMemslotTest,
  readAccessTrackingOutput,
  readDirtyLogOutput,
  readMemslotOutput,
} from '../../src/main/lab/peers/selftests.ts';
import { accessTracking } from '../../src/main/lab/workloads/access-tracking.ts';
import { codeOf } from '../errors.ts';
import { labContext } from '../lab-context.ts';

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

const MEMSLOT_OUTPUT = `Testing move inactive area performance with 1 runs, 1 seconds each
Test took 0.012345678s for slot setup + 1.000100000s all iterations
Done 4000 iterations, avg 0.000250025s each
Best runtime result was 0.000250025s per iteration (with 4000 iterations)
`;

const ACCESS_OUTPUT = `Testing guest mode: PA-bits:ANY, VA-bits:48,  4K pages
guest physical test memory: [0xfbfff000, 0xfffff000)

Populating memory             : 0.500000000s
Writing to populated memory   : 0.010000000s
Reading from populated memory : 0.020000000s
Mark memory idle              : 0.700000000s
Writing to idle memory        : 0.040000000s
Mark memory idle              : 0.700000000s
Reading from idle memory      : 0.050000000s
`;

const plain = { vcpus: 2, bytes: 2 ** 20, writes: 100, overlap: false, slots: 1, manual: true };

/** Runs the body with a folder that has a program with this script. */
async function withProgram(
  script: string,
  body: (folder: string, file: string) => Promise<void>,
  name = 'dirty_log_perf_test',
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-selftests-'));
  try {
    const file = join(folder, name);
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
    assert.equal(findSelftest('dirty_log_perf_test', [folder]), { found: true, file });

    await using peer = await openDirtyLogTest(file, plain);

    const { value } = await peer.repeat(1);
    assert.ok(Math.abs(value - (256 * 2) / 0.25) < 1e-6);
    assert.ok(Math.abs(peer.lastNs - 0.25e9) < 1);
  }));

test('where there is none, the reason says how to get it', () => {
  const missing = findSelftest('memslot_perf_test', ['/nowhere']);

  assert.is(missing.found, false);
  assert.match(missing.found ? '' : missing.reason, /not installed: no memslot_perf_test.*NODE_KVM_SELFTESTS/);
});

test('one that fails, or prints something else, is an error with what it said', async () => {
  await withProgram('echo no dirty log here >&2; exit 4', async (_, file) => {
    const failing = openDirtyLogTest(file, plain);
    assert.match(String(await failing.catch((error: unknown) => error)), /no dirty log here/);
    assert.is(await codeOf(failing), 'ERR_LAB_ACTOR');
  });
  const trace = `==== Test Assertion Failure ====\n  x_test.c:92: a == b\n  pid=15 tid=16\n     1\t0x40285a: f at x_test.c:92\n     2\t (inlined by) g\n  exit_reason=ERROR`;
  await withProgram(`cat >&2 <<'END'\n${trace}\nEND\nexit 254`, async (_, file) => {
    const said = String(await openDirtyLogTest(file, plain).catch((error: unknown) => error));
    assert.match(said, /failed: ==== Test Assertion Failure ==== x_test\.c:92: a == b exit_reason=ERROR$/);
  });
  await withProgram('echo hello', async (_, file) => {
    assert.is(await codeOf(openDirtyLogTest(file, plain)), 'ERR_LAB_RESULT');
  });
});

test('the slots test moves a slot of the size asked for, and its figure is microseconds of an iteration', async () => {
  // 512 MiB in 256 slots, and the one of the program.
  const each = { slotBytes: 2 ** 21, writes: 'beside' } as const;
  assert.equal(memslotArguments(each), ['-f', '4', '-e', '4', '-s', '257', '-l', '1']);
  assert.equal(memslotArguments({ ...each, writes: 'inside' }).slice(0, 4), ['-f', '3', '-e', '3']);
  await withProgram(`cat <<'END'\n${MEMSLOT_OUTPUT}END\n`, async (_, file) => {
    await using peer = await openMemslotTest(file, each);
    const { value } = await peer.repeat(1);
    assert.ok(Math.abs(value - 250.025) < 1e-9);
  });
});

test('a slots test that ran something else, or came to nothing, is a wrong result', async () => {
  const wrong = [MEMSLOT_OUTPUT.replace('inactive', 'active'), 'No full loops done - too short test time?', ''];
  for (const text of wrong)
    assert.is(await codeOf((async () => readMemslotOutput(text, 'beside'))()), 'ERR_LAB_RESULT');
});

test('the access tracking test has a figure for idle and one for populated memory: pages per second', async () => {
  const each = { vcpus: 2, bytes: 2 ** 23 };
  assert.equal(accessTrackingArguments({ ...each, memory: 'idle' }), ['-v', '2', '-b', '4194304']);
  assert.is(readAccessTrackingOutput(ACCESS_OUTPUT, 'populated'), 0.01);
  await withProgram(`cat <<'END'\n${ACCESS_OUTPUT}END\n`, async (_, file) => {
    await using idle = await openAccessTrackingTest(file, { ...each, memory: 'idle' });
    assert.is((await idle.repeat(1)).value, 2048 / 0.04);
  });
  assert.is(await codeOf((async () => readAccessTrackingOutput('', 'idle'))()), 'ERR_LAB_RESULT');
});

/** Rows of the access tracking workload, and what it skipped, with this program as the installed one. */
async function tracked(script: string, scenario: Parameters<typeof labContext>[0] = {}) {
  const context = labContext({ sizes: [2 ** 23], ...scenario });
  const before = process.env['NODE_KVM_SELFTESTS'];
  let rows: Awaited<ReturnType<typeof measureGroup>> = [];
  const body = async (folder: string) => {
    process.env['NODE_KVM_SELFTESTS'] = folder;
    rows = await measureGroup(accessTracking.variants(context), context.scenario, { progress: () => {} });
  };
  try {
    await withProgram(script, body, 'access_tracking_perf_test');
  } finally {
    if (before === undefined) delete process.env['NODE_KVM_SELFTESTS'];
    else process.env['NODE_KVM_SELFTESTS'] = before;
  }
  return { rows, skipped: context.skipped };
}

test('it has rows of its own, without a ratio, for there is nothing to hold it against', async () => {
  const { rows, skipped } = await tracked(`cat <<'END'\n${ACCESS_OUTPUT}END\n`);
  assert.equal(
    rows.map(({ actors, parameters, value, unit, ratio }) => [actors, parameters['memory'], value.median, unit, ratio]),
    [
      ['guest:1', 'populated', 2048 / 0.01, 'pages/s', undefined],
      ['guest:1', 'idle', 2048 / 0.04, 'pages/s', undefined],
      ['guest:2', 'populated', 2048 / 0.01, 'pages/s', undefined],
      ['guest:2', 'idle', 2048 / 0.04, 'pages/s', undefined],
    ],
  );
  assert.equal(skipped, []);
});

test('where it does not run, it is skipped with what it said; so it is without peers and without room', async () => {
  const { rows, skipped } = await tracked("echo '1..0 # SKIP - no idle pages here'; exit 4");
  assert.equal(rows, []);
  assert.is(skipped.at(-1)?.what, 'peer access_tracking_perf_test');
  assert.match(skipped.at(-1)?.reason ?? '', /SKIP - no idle pages here/);
  assert.match((await tracked('exit 1', { peers: false })).skipped[0]?.reason ?? '', /not asked for/);
  assert.match((await tracked('exit 1', { sizes: [2 ** 16] })).skipped[0]?.reason ?? '', /no size from 4M/);
});

test.run();

// The job `npm run test:machine`: runs the KVM suites on an ordinary KVM, inside an emulated machine, and reports as the runner does.
// Host side; the tests themselves run in the machine. Exit status: 0, 1 (a test failed), 2 (packages are missing, wrong usage).
// Usage: node build/test/machine/run.js [part of a file's path ...], or [--parallel] [--one-processor] [--qemu] --run <script> [argument ...] for
// another program of the project's; --guest makes what guests boot, and nothing else. TEST_TIMEOUT_SECONDS (per file), VERBOSE=1.

import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, type Outcome, summarize } from '../report.ts';
import { type MachineEnd, RESTARTS_MAX, runBatch, runInRoom, split } from './batch.ts';
import { runEmulatedMachine } from './emulated-machine.ts';
import { buildKernelParts, buildParts, folder, type Parts } from './parts.ts';

const timeoutSeconds = Number(process.env['TEST_TIMEOUT_SECONDS'] ?? 600);
const verbose = process.env['VERBOSE'] === '1';
const filters = process.argv.slice(2);

/** What is run without arguments: everything that drives KVM. */
const DEFAULT_FILTERS = ['kvm/', 'linux/'];

/** Files per machine: few enough that a lost machine costs little, many enough that starting it (some seconds) does not count. */
const BATCH_FILES = 12;

/** Boots of Linux, each file minutes. */
const BOOTS = 'linux/';
const BATCH_BOOTS = 3;

/**
 * Files that are about what runs at the same time: vCPUs beside each other, beside a harvest, a kick, a change of the slots. They get
 * a machine of two processors. All others get a machine of one: threads that interrupt each other's processors cost the emulation a
 * third of its time, and a file that makes vCPUs run in turn tests the same. In this order: long ones first. Not the boots: a guest with
 * several vCPUs on one processor has them interrupt each other anywhere.
 */
const CONCURRENT = ['soak', 'ring', 'running', 'pause', 'stop', 'vcpu-count', 'storm', 'shared-counter', 'watch'];

/** How many machines run at once: each takes one of the host's processors; no more memory and disk than a few machines take. */
const MACHINES = Math.max(1, Math.min(4, availableParallelism()));

/** Signs of life come every two seconds; a busy host may hold them up. */
const SILENCE_SECONDS = 60;

/** Generous: a file takes 10 to 30 times as long as outside, and the host may have other things to do. */
const SLOWNESS = 20;

/** Programs that build and run the machine, and the Debian packages that have them. */
const PROGRAMS: readonly (readonly [program: string, debianPackage: string])[] = [
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['busybox', 'busybox-static'],
  ['cpio', 'cpio'],
  ['modinfo', 'kmod'],
  ['lz4', 'lz4'],
  ['xz', 'xz-utils'],
  ['zstd', 'zstd'],
  ['mke2fs', 'e2fsprogs'],
  ['apt-get', 'apt'],
  ['apt-cache', 'apt'],
  ['dpkg-deb', 'dpkg'],
];

/** Where a program is; system folders count although a user's PATH lacks them. */
function find(program: string): string | undefined {
  for (const at of `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':')) {
    const path = join(at, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The machine has no shared libraries when its first process starts. */
function isStatic(program: string): boolean {
  try {
    execFileSync('ldd', [program], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
}

/** The static busybox; ends the process with a message where packages are missing. */
function requirePrograms(): string {
  const busybox = find('busybox');
  const missing = PROGRAMS.filter(([program]) => find(program) === undefined).map(([, package_]) => package_);
  if (busybox !== undefined && !isStatic(busybox)) missing.push('busybox-static');
  if (busybox === undefined || missing.length > 0) {
    console.error(
      'machine: the emulated machine is made with Debian packages, and some are missing. Install them with',
    );
    console.error(`machine:   apt-get install --no-install-recommends ${[...new Set(missing)].join(' ')}`);
    process.exit(2);
  }
  process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  return busybox;
}

function selectFiles(): string[] {
  const wanted = filters.length > 0 ? filters : DEFAULT_FILTERS;
  const files = readdirSync('build/test', { recursive: true })
    .map(String)
    .filter(name => name.endsWith('.test.js') && wanted.some(part => name.includes(part)))
    .sort();
  if (files.length === 0) {
    console.error(`machine: no test file matches ${wanted.join(' ')}`);
    process.exit(2);
  }
  return files;
}

/** Only where another processor may be executing, at that very moment, what the kernel patches: hold-kvm.ts says more. */
const HOLD_KVM = `node build/test/machine/hold-kvm.js > /tmp/held &
until [ -s /tmp/held ]; do kill -0 $! || exit 1; sleep 0.2; done`;

/** The script that the machine runs. A missing /dev/kvm, or a ring that does not work, is a failure there, never a skip. */
const job = (
  parallel: boolean,
  script: string,
  args: readonly string[],
) => `export PATH=/usr/bin:/bin HOME=/tmp TMPDIR=/tmp
export REQUIRE_KVM=1 TEST_REPORT=/dev/ttyS1 TEST_TIMEOUT_SECONDS=${timeoutSeconds} TEST_SLOWNESS=${SLOWNESS} TEST_EMULATOR=qemu-tcg
export REQUIRE_SOURCES=bitmap,ring,host
set -o pipefail
cd /project
${parallel ? HOLD_KVM : ''}
node ${[script, ...args].map(word => `'${word.replaceAll("'", "'\\''")}'`).join(' ')} 2>&1 | cat
exit $?
`;

/** The last lines of a console: why a machine was lost, as far as it could say. */
function tail(log: string): string {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
  return lines.slice(-15).join('\n').replace(/^/gm, '     | ');
}

// An end by signal runs the exit listeners too: they end the machine that would otherwise compute on.
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.once(signal, () => process.exit(status));

/** Machines, started and lost. */
let started = 0;
const losses: string[] = [];

interface Work {
  readonly name: string;
  readonly processors: number;
  readonly parallel: boolean;
  readonly script: string;
  readonly args: readonly string[];
}

/** Starts a machine that runs `script`; prints what is to be known about it. */
async function runMachine(
  parts: Parts,
  { name, processors, parallel, script, args }: Work,
  onOutcome: (outcome: Outcome) => void,
): Promise<{ end: MachineEnd; consoleLog: string }> {
  started += 1;
  const consoleLog = join(folder, `console-${started}.log`);
  const end = await runEmulatedMachine({
    parts,
    processors,
    parallel,
    job: job(parallel, script, args),
    consoleLog,
    silenceSeconds: SILENCE_SECONDS,
    outcomeSeconds: timeoutSeconds + SILENCE_SECONDS,
    onReady: seconds => console.log(`${name}: ready after ${seconds.toFixed(1)} s, ${consoleLog}`),
    onOutcome: outcome => {
      console.log(describe(outcome, verbose));
      onOutcome(outcome);
    },
  });
  if (end.kind === 'lost') {
    losses.push(end.why);
    console.log(`${name}: LOST, ${end.why}\n${tail(consoleLog)}`);
  }
  return { end, consoleLog };
}

/** Runs test files, on as many machines as they need. The process's exit status. */
async function runTests(parts: Parts, files: readonly string[]): Promise<number> {
  const begin = performance.now();
  const concurrent = new Set(
    CONCURRENT.flatMap(part => files.filter(file => !file.includes(BOOTS) && file.includes(part))),
  );
  const boots = files.filter(file => file.includes(BOOTS));
  const others = files.filter(file => !concurrent.has(file) && !boots.includes(file));
  const cut = (some: readonly string[], size: number, processors: number) =>
    split(some, size, MACHINES).map(batch => ({ files: batch, processors }));
  const batches = [
    ...cut(boots, BATCH_BOOTS, 1),
    ...cut([...concurrent], BATCH_FILES, 2),
    ...cut(others, BATCH_FILES, 1),
  ];
  const outcomes: Outcome[] = [];
  await runInRoom(batches, MACHINES, async batch => {
    const number = batches.indexOf(batch) + 1;
    const result = await runBatch(batch.files, async (open, attempt, onOutcome) => {
      const again = attempt > 0 ? `, start ${attempt + 1}` : '';
      const name = `machine ${number} of ${batches.length}${again}, ${open.length} files on ${batch.processors} processors`;
      const { processors } = batch;
      const work = { name, processors, parallel: false, script: 'build/test/runner.js', args: open };
      return (await runMachine(parts, work, onOutcome)).end;
    });
    for (const outcome of result.outcomes) {
      // What no machine answered for has not been printed yet.
      if (outcome.problem?.startsWith('no result') === true) console.log(describe(outcome, verbose));
      outcomes.push(outcome);
    }
  });
  const { text, ok } = summarize(outcomes, (performance.now() - begin) / 1000);
  console.log(`${started} machines started, ${losses.length} lost`);
  console.log(text);
  return ok ? 0 : 1;
}

/** Runs one program of the project's and prints what it printed. The process's exit status: the program's. */
async function runProgram(
  parts: Parts,
  on: Pick<Work, 'processors' | 'parallel'>,
  script: string,
  args: readonly string[],
): Promise<number> {
  for (let attempt = 0; attempt <= RESTARTS_MAX; attempt++) {
    const name = `machine with ${script}${attempt > 0 ? `, start ${attempt + 1}` : ''}`;
    const { end, consoleLog } = await runMachine(parts, { name, ...on, script, args }, () => {});
    if (end.kind === 'lost') continue;
    console.log(readFileSync(consoleLog, 'utf8').replaceAll('\r', '').trimEnd());
    return end.status;
  }
  console.log(`${script}: no result, the machine was lost ${losses.length} times`);
  return 1;
}

const RUN_FLAGS = ['--parallel', '--one-processor', '--qemu'];

const busybox = requirePrograms();
const words = process.argv.slice(2);
const flags = words.slice(0, Math.max(0, words.indexOf('--run')));
if (words[0] === '--guest') buildKernelParts(busybox);
else if (words.includes('--run')) {
  const [script, ...args] = words.slice(flags.length + 1);
  const unknown = flags.find(flag => !RUN_FLAGS.includes(flag));
  if (unknown !== undefined || script === undefined || !existsSync(script)) {
    const what = unknown === undefined ? `there is no ${script ?? 'name of one'}` : `${unknown} is no option`;
    console.error(`machine: --run needs a compiled program of the project's; ${what}`);
    process.exit(2);
  }
  const qemu = flags.includes('--qemu') ? find('qemu-system-x86_64') : undefined;
  const on = { processors: flags.includes('--one-processor') ? 1 : 2, parallel: flags.includes('--parallel') };
  process.exitCode = await runProgram(buildParts(busybox, qemu), on, script, args);
} else if (words.some(word => RUN_FLAGS.includes(word))) {
  console.error(`machine: ${RUN_FLAGS.join(', ')} go with --run, before it`);
  process.exit(2);
} else {
  const files = selectFiles();
  process.exitCode = await runTests(buildParts(busybox), files);
}

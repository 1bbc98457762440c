// The job `npm run test:machine`: runs the KVM suites on an ordinary KVM, inside an emulated machine, and reports as the runner does.
// Host side; the tests themselves run in the machine. Exit status: 0, 1 (a test failed), 2 (packages are missing, wrong usage).
// Usage: node build/test/machine/run.js [part of a file's path ...]; TEST_TIMEOUT_SECONDS (per file), VERBOSE=1.

import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type Outcome, summarize } from '../report.ts';
import { type MachineEnd, runBatch, split } from './batch.ts';
import { runEmulatedMachine } from './emulated-machine.ts';
import { buildParts, folder } from './parts.ts';

const timeoutSeconds = Number(process.env['TEST_TIMEOUT_SECONDS'] ?? 300);
const verbose = process.env['VERBOSE'] === '1';
const filters = process.argv.slice(2);

/** What is run without arguments: everything that drives KVM. */
const DEFAULT_FILTERS = ['kvm/'];

/** Files per machine: few enough that a lost machine costs little, many enough that starting it (some seconds) does not count. */
const BATCH_FILES = 10;

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

/** The script that the machine runs. A missing /dev/kvm is a failure there, never a skip. */
const job = (files: readonly string[]) => `export PATH=/usr/bin:/bin HOME=/tmp TMPDIR=/tmp
export REQUIRE_KVM=1 TEST_REPORT=/dev/ttyS1 TEST_TIMEOUT_SECONDS=${timeoutSeconds} TEST_SLOWNESS=${SLOWNESS} TEST_EMULATOR=qemu-tcg
cd /project
node build/test/runner.js ${files.join(' ')}
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

const busybox = requirePrograms();
const files = selectFiles();
const parts = buildParts(busybox);

const begin = Date.now();
const outcomes: Outcome[] = [];
const losses: string[] = [];
const batches = split(files, BATCH_FILES);
for (const [index, batch] of batches.entries()) {
  const result = await runBatch(batch, async (open, attempt, onOutcome): Promise<MachineEnd> => {
    const name = `machine ${index + 1} of ${batches.length}${attempt > 0 ? `, start ${attempt + 1}` : ''}`;
    const consoleLog = join(folder, `console-${index + 1}-${attempt + 1}.log`);
    const end = await runEmulatedMachine({
      parts,
      job: job(open),
      consoleLog,
      silenceSeconds: SILENCE_SECONDS,
      outcomeSeconds: timeoutSeconds + SILENCE_SECONDS,
      onReady: seconds => console.log(`${name}: ready after ${seconds.toFixed(1)} s, ${open.length} files`),
      onOutcome: outcome => {
        console.log(describe(outcome, verbose));
        onOutcome(outcome);
      },
    });
    if (end.kind === 'lost') console.log(`${name}: LOST, ${end.why}\n${tail(consoleLog)}`);
    return end;
  });
  for (const outcome of result.outcomes) {
    // What no machine answered for has not been printed yet.
    if (outcome.problem?.startsWith('no result') === true) console.log(describe(outcome, verbose));
    outcomes.push(outcome);
  }
  losses.push(...result.losses);
}

const { text, ok } = summarize(outcomes, (Date.now() - begin) / 1000);
console.log(`${batches.length + losses.length} machines started, ${losses.length} lost`);
console.log(text);
process.exitCode = ok ? 0 : 1;

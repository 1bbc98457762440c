// The kernel's KVM selftests as peers: finds those that somebody built, runs them with the options of a variant, and reads their figures. Main
// thread. Each repetition is a process of its own, which makes a VM and fills its memory; that is not in the figure.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { HypervisorError, messageOf } from '../../../../shared/errors.ts';
import { MIB, PAGE_SIZE } from '../../../../shared/units.ts';
import type { OpenVariant } from '../workload.ts';
import { findProgram, searchPath } from './find-program.ts';

/** Names a folder with the built selftests (tools/testing/selftests/kvm). */
const FOLDER_VARIABLE = 'NODE_KVM_SELFTESTS';
/** Where `make install` of the kernel's selftests puts them, where distributions package that. */
const INSTALLED = ['/usr/lib/kselftests/kvm', '/usr/libexec/kselftests/kvm'];
export const DIRTY_LOG_TEST = 'dirty_log_perf_test';
export const MEMSLOT_TEST = 'memslot_perf_test';
export const ACCESS_TRACKING_TEST = 'access_tracking_perf_test';
/** Of the dirty log's test, in each of its runs. */
const ITERATIONS = 3;
const RUN_MS_MAX = 60_000;

/** The program, or why there is none, with how to get it. */
export type Selftest =
  | { readonly found: true; readonly file: string }
  | { readonly found: false; readonly reason: string };

export function findSelftest(
  name: string,
  folders = [process.env[FOLDER_VARIABLE] ?? '', ...INSTALLED, ...searchPath()],
): Selftest {
  const file = findProgram(name, folders.filter(Boolean));
  if (file !== undefined) return { found: true, file };
  return {
    found: false,
    reason:
      `not installed: no ${name}; build the kernel's selftests (make headers_install; make -C tools/testing/selftests/kvm) and ` +
      `name their folder in ${FOLDER_VARIABLE}`,
  };
}

/** A variant of the dirty storm in the test's terms. */
export interface DirtyLogCase {
  readonly vcpus: number;
  /** Of all vCPUs together. */
  readonly bytes: number;
  /** Percent. */
  readonly writes: number;
  readonly overlap: boolean;
  readonly slots: number;
  /** KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
  readonly manual: boolean;
}

/** Its options. Kernels before 6.3 lack -w: they refuse to run with less than 100 % of writes. */
export function dirtyLogArguments({ vcpus, bytes, writes, overlap, slots, manual }: DirtyLogCase): string[] {
  return [
    ...['-v', String(vcpus), '-b', String(bytes / vcpus), '-i', String(ITERATIONS), '-x', String(slots)],
    ...(writes === 100 ? [] : ['-w', String(writes)]),
    ...(overlap ? ['-o'] : []),
    ...(manual ? [] : ['-g']),
  ];
}

/** Seconds of all iterations, and how many there were: dirtying, getting and clearing together. @throws `ERR_LAB_RESULT` when it printed none */
export function readDirtyLogOutput(output: string): { readonly seconds: number; readonly iterations: number } {
  const lines = [...output.matchAll(/^Iteration \d+ (dirty memory|get dirty log|clear dirty log) time: ([\d.]+)s/gm)];
  const iterations = lines.filter(([, what]) => what === 'dirty memory').length;
  const seconds = lines.reduce((sum, [, , time]) => sum + Number(time), 0);
  if (iterations === 0 || !(seconds > 0)) throw noTimes(DIRTY_LOG_TEST, output);
  return { seconds, iterations };
}

/** Pages per second. As {@link openProgram}. */
export function openDirtyLogTest(file: string, each: DirtyLogCase): Promise<OpenVariant> {
  const pages = (each.bytes / PAGE_SIZE) * (each.overlap ? each.vcpus : 1) * (each.writes / 100);
  return openProgram(file, dirtyLogArguments(each), text => {
    const { seconds, iterations } = readDirtyLogOutput(text);
    return { seconds, value: (pages * iterations) / seconds };
  });
}

/** What the test shares out among its slots, less a page. */
const MEMSLOT_MEMORY = 512 * MIB;
/** Two of its tests: a slot goes elsewhere and comes back, while the vCPU writes to it, or beside it. The program names the test, so another one is noticed. */
const MOVES = {
  inside: { index: '3', name: 'move active area' },
  beside: { index: '4', name: 'move inactive area' },
} as const;

export interface MemslotCase {
  readonly slotBytes: number;
  /** Where the vCPU writes to. */
  readonly writes: keyof typeof MOVES;
}

/** Moves a slot for a second. The cap on slots, which is what gives them their size, includes the one of the guest's program. */
export const memslotArguments = ({ slotBytes, writes }: MemslotCase): string[] => [
  ...['-f', MOVES[writes].index, '-e', MOVES[writes].index],
  ...['-s', String(MEMSLOT_MEMORY / slotBytes + 1), '-l', '1'],
];

/** Seconds of one iteration, which moves the slot twice. @throws `ERR_LAB_RESULT` */
export function readMemslotOutput(output: string, writes: MemslotCase['writes']): number {
  const ran = output.includes(`Testing ${MOVES[writes].name} performance`);
  const seconds = Number(/^Done \d+ iterations, avg ([\d.]+)s each/m.exec(output)?.[1]);
  if (!ran || !(seconds > 0)) throw noTimes(MEMSLOT_TEST, output);
  return seconds;
}

/** Microseconds of one iteration. As {@link openProgram}. */
export function openMemslotTest(file: string, each: MemslotCase): Promise<OpenVariant> {
  return openProgram(file, memslotArguments(each), text => {
    const seconds = readMemslotOutput(text, each.writes);
    return { seconds, value: seconds * 1e6 };
  });
}

/** What the test's vCPUs write to: pages that were just written to, or those that were marked idle since then, so that KVM notes the access. */
export interface AccessTrackingCase {
  readonly vcpus: number;
  /** Of all vCPUs together. */
  readonly bytes: number;
  readonly memory: 'populated' | 'idle';
}

export const accessTrackingArguments = ({ vcpus, bytes }: AccessTrackingCase): string[] => [
  ...['-v', String(vcpus), '-b', String(bytes / vcpus)],
];

/** Seconds that all vCPUs took to write to all pages. @throws `ERR_LAB_RESULT` */
export function readAccessTrackingOutput(output: string, memory: AccessTrackingCase['memory']): number {
  const seconds = Number(new RegExp(`^Writing to ${memory} memory\\s*: ([\\d.]+)s`, 'm').exec(output)?.[1]);
  if (!(seconds > 0)) throw noTimes(ACCESS_TRACKING_TEST, output);
  return seconds;
}

/** Pages per second. As {@link openProgram}. */
export function openAccessTrackingTest(file: string, each: AccessTrackingCase): Promise<OpenVariant> {
  return openProgram(file, accessTrackingArguments(each), text => {
    const seconds = readAccessTrackingOutput(text, each.memory);
    return { seconds, value: each.bytes / PAGE_SIZE / seconds };
  });
}

const noTimes = (program: string, output: string) =>
  new HypervisorError('ERR_LAB_RESULT', `${program} printed no times: ${output.slice(0, 500)}`);

/** A run of the program for each repetition, the first one at once, to see that it works here. @throws `ERR_LAB_ACTOR` with what it printed */
async function openProgram(
  file: string,
  args: readonly string[],
  read: (output: string) => { readonly seconds: number; readonly value: number },
): Promise<OpenVariant> {
  let lastNs = 0;
  const open: OpenVariant = {
    get lastNs() {
      return lastNs;
    },
    async repeat() {
      const { seconds, value } = read(await output(file, args));
      lastNs = seconds * 1e9;
      return { value };
    },
    async [Symbol.asyncDispose]() {},
  };
  await open.repeat(1);
  return open;
}

/** Lines of where in the test's own source it gave up. */
const TRACE = /^\s*(?:\d+\s+(?:0x|\(inlined)|pid=).*$/gm;

async function output(file: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(file, args, { timeout: RUN_MS_MAX });
    return stdout;
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    // Its standard error has the reason, in many lines with a stack's trace; reports have one line for it.
    const said = (stderr.trim() || stdout.trim() || messageOf(cause))
      .replace(TRACE, '')
      .replace(/\s+/g, ' ')
      .slice(0, 400);
    throw new HypervisorError('ERR_LAB_ACTOR', `${file} ${args.join(' ')} failed: ${said}`, { cause });
  }
}

// The kernel's KVM selftests as peers: finds dirty_log_perf_test where somebody built it, runs it with the options of a variant of the dirty
// storm, and reads its figures. Main thread.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { HypervisorError, messageOf } from '../../../../shared/errors.ts';
import type { OpenVariant } from '../workload.ts';
import { findProgram, searchPath } from './find-program.ts';

/** Names a folder with the built selftests (tools/testing/selftests/kvm). */
const FOLDER_VARIABLE = 'NODE_KVM_SELFTESTS';
/** Where `make install` of the kernel's selftests puts them, where distributions package that. */
const INSTALLED = ['/usr/lib/kselftests/kvm', '/usr/libexec/kselftests/kvm'];
export const DIRTY_LOG_TEST = 'dirty_log_perf_test';
/** Each of its runs makes a VM and populates its memory, which is not in the figure. */
const ITERATIONS = 3;
const RUN_MS_MAX = 60_000;

/** The program, or why there is none, with how to get it. */
export type Selftest =
  | { readonly found: true; readonly file: string }
  | { readonly found: false; readonly reason: string };

export function findDirtyLogTest(
  folders = [process.env[FOLDER_VARIABLE] ?? '', ...INSTALLED, ...searchPath()],
): Selftest {
  const file = findProgram(DIRTY_LOG_TEST, folders.filter(Boolean));
  if (file !== undefined) return { found: true, file };
  return {
    found: false,
    reason:
      `not installed: no ${DIRTY_LOG_TEST}; build the kernel's selftests (make headers_install; make -C tools/testing/selftests/kvm) and ` +
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
  if (iterations === 0 || !(seconds > 0)) {
    throw new HypervisorError('ERR_LAB_RESULT', `${DIRTY_LOG_TEST} printed no times: ${output.slice(0, 500)}`);
  }
  return { seconds, iterations };
}

/** Runs it once, to see that it works here. @throws `ERR_LAB_ACTOR` with what it printed */
export async function openDirtyLogTest(file: string, each: DirtyLogCase): Promise<OpenVariant> {
  const pages = (each.bytes / 4096) * (each.overlap ? each.vcpus : 1) * (each.writes / 100);
  let lastNs = 0;
  const open: OpenVariant = {
    get lastNs() {
      return lastNs;
    },
    async repeat() {
      const { seconds, iterations } = readDirtyLogOutput(await output(file, dirtyLogArguments(each)));
      lastNs = seconds * 1e9;
      return { value: (pages * iterations) / seconds };
    },
    async [Symbol.asyncDispose]() {},
  };
  await open.repeat(1);
  return open;
}

async function output(file: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(file, args, { timeout: RUN_MS_MAX });
    return stdout;
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    // Its standard error has the reason, in many lines; reports have one for it.
    const said = (stderr.trim() || stdout.trim() || messageOf(cause)).replace(/\s+/g, ' ').slice(0, 400);
    throw new HypervisorError('ERR_LAB_ACTOR', `${file} ${args.join(' ')} failed: ${said}`, { cause });
  }
}

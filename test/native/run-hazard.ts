// Runs a hazard: a script of test/native/hazards/ in a child process, which prints 'EVENT' right before it does the dangerous
// thing and must then end by itself, soon and with the right status. A child that hangs or crashes cannot take the test with it.

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { slowness } from '../slowness.ts';

export interface HazardOutcome {
  /** Exit status; null when a signal ended the child. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Milliseconds from the line 'EVENT' to the end of the process; from its start where it never came. */
  readonly msAfterEvent: number;
  readonly sawEvent: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export interface HazardOptions {
  readonly args?: readonly string[];
  /** For Node itself, for example --expose-gc. */
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Sent to the child when it says EVENT. */
  readonly send?: NodeJS.Signals;
  /** After so long the child is killed; the outcome then has signal SIGKILL. */
  readonly limitMs?: number;
}

/** This module is bundled into each compiled test, so 'here' is the folder of compiled test files. */
const hazards = join(dirname(fileURLToPath(import.meta.url)), 'hazards');

/** Runs hazards/`name`.js. For callers in test/native/. */
export function runHazard(name: string, options: HazardOptions = {}): Promise<HazardOutcome> {
  const { args = [], nodeArgs = [], env = {}, send, limitMs = 30_000 } = options;
  return new Promise((resolve, reject) => {
    let since = performance.now();
    let sawEvent = false;
    let stdout = '';
    let stderr = '';
    const child = spawn(process.execPath, [...nodeArgs, join(hazards, `${name}.js`), ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs * slowness);
    child.stdout.on('data', data => {
      stdout += data;
      if (sawEvent || !/^EVENT$/m.test(stdout)) return;
      sawEvent = true;
      since = performance.now();
      if (send !== undefined) child.kill(send);
    });
    child.stderr.on('data', data => {
      stderr += data;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, msAfterEvent: performance.now() - since, sawEvent, stdout, stderr });
    });
  });
}

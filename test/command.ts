// Runs one of the project's programs as a user does: as a process of its own, with a time limit. For tests.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { slowness } from './slowness.ts';

/** The repository's root: tests run from build/test/<folder>/. */
const root = new URL('../../../', import.meta.url);
export const fromRoot = (path: string) => fileURLToPath(new URL(path, root));

export interface Finished {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Called with everything that standard output has so far, whenever it grows. */
  readonly onStdout?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  /** The same of standard error. */
  readonly onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  readonly timeoutMs?: number;
  /** What standard input has. Default: nothing. */
  readonly input?: string;
}

/** Runs `script` (from the root) with Node. */
export function runScript(script: string, args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fromRoot(script), ...args], {
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A command that reads nothing may have ended before.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      options.onStdout?.(stdout, signal => child.kill(signal));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      options.onStderr?.(stderr, signal => child.kill(signal));
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), (options.timeoutMs ?? 60_000) * slowness);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ status, signal, stdout, stderr });
    });
  });
}

/** The command `node-kvm`. */
export const nodeKvm = (args: readonly string[], options?: CommandOptions) => runScript('dist/cli.js', args, options);

/** Environment in which there is no KVM. */
export const WITHOUT_KVM = { NODE_KVM_DEVICE: '/dev/kvm-is-hidden' } as const;

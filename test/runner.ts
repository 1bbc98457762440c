// Runs test files: each in a process of its own, with a time limit, two at a time. Passing means exit status 0 *and*
// uvu's summary with Passed == Total > 0 (or nothing but counted skips): uvu alone calls an empty run a success.
// Usage: node build/test/runner.js [part of a file's path ...]; TEST_TIMEOUT_SECONDS, TEST_JOBS. TEST_REPORT names a file
// (or a serial line) that each outcome is appended to as a line of JSON, at once.

import { spawn } from 'node:child_process';
import { appendFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, type Outcome, summarize } from './report.ts';

const here = dirname(fileURLToPath(import.meta.url));
const timeoutSeconds = Number(process.env['TEST_TIMEOUT_SECONDS'] ?? 180);
const jobs = Number(process.env['TEST_JOBS'] ?? Math.min(2, availableParallelism()));
const filters = process.argv.slice(2);
const report = process.env['TEST_REPORT'];

function runFile(file: string): Promise<Outcome> {
  return new Promise(resolve => {
    const begin = Date.now();
    // A group of its own, so that a file that hangs is ended with everything that it started.
    const child = spawn(process.execPath, ['--enable-source-maps', join(here, file)], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let timedOut = false;
    child.stdout.on('data', data => (output += data));
    child.stderr.on('data', data => (output += data));
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, timeoutSeconds * 1000);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const sum = (pattern: RegExp) =>
        [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);
      const total = sum(/^ {2}Total: +(\d+)$/gm);
      const passed = sum(/^ {2}Passed: +(\d+)$/gm);
      const uvuSkipped = sum(/^ {2}Skipped: +(\d+)$/gm);
      const skips = output.split('\n').filter(line => line.startsWith('# SKIP '));
      let problem: string | undefined;
      if (timedOut) problem = `no end within ${timeoutSeconds} s`;
      else if (code !== 0) problem = `ended with ${signal ?? code}`;
      else if (uvuSkipped > 0) problem = `${uvuSkipped} tests skipped without a reason`;
      else if (passed !== total) problem = `${total - passed} of ${total} failed`;
      else if (total === 0 && skips.length === 0) problem = 'no test ran';
      resolve({
        file,
        output,
        passed,
        failed: Math.max(total - passed, problem === undefined ? 0 : 1),
        skips,
        problem,
        seconds: (Date.now() - begin) / 1000,
      });
    });
  });
}

/** Files run in the order of the filters that they match. */
const rank = (name: string) => filters.findIndex(part => name.includes(part));
const files = readdirSync(here, { recursive: true })
  .map(String)
  .filter(name => name.endsWith('.test.js'))
  .filter(name => filters.length === 0 || filters.some(part => name.includes(part)))
  .sort()
  .sort((a, b) => rank(a) - rank(b));
if (files.length === 0) {
  console.error(`runner: no test file matches ${filters.join(' ')}`);
  process.exit(2);
}

const started = Date.now();
const queue = [...files];
const outcomes: Outcome[] = [];
async function drain(): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const outcome = await runFile(file);
    outcomes.push(outcome);
    console.log(describe(outcome, process.env['VERBOSE'] === '1'));
    if (report !== undefined) appendFileSync(report, `${JSON.stringify(outcome)}\n`);
  }
}
await Promise.all(Array.from({ length: Math.max(1, jobs) }, drain));

const { text, ok } = summarize(outcomes, (Date.now() - started) / 1000);
console.log(text);
process.exitCode = ok ? 0 : 1;

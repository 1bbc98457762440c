// The C++ baselines: compiled from bench/native at bench time, run as one child process that lives as long as the benchmark
// and sleeps between its rounds. Main thread.

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What a baseline's command answers: CLOCK_MONOTONIC nanoseconds, and a figure that shows that the work was done. */
export interface Answer {
  readonly nanoseconds: number;
  readonly check: bigint;
}

const COMMAND = [process.env['CXX'] ?? 'g++', '-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];

/** How the baselines are compiled, for the report. */
export const compileCommand = COMMAND.join(' ');

/** The child process: one command at a time, in the order asked for. */
export class Baseline implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<number | null>;
  #errors = '';

  /** Compiles (a few seconds) and starts it. Throws the compiler's message. */
  static start(): Baseline {
    // The bundle of this file lies in build/bench/ or build/bench/core/: the sources are found from the working directory.
    const sources = readdirSync('bench/native')
      .filter(file => file.endsWith('.cc'))
      .map(file => join('bench/native', file));
    const binary = fileURLToPath(new URL('native-baseline', import.meta.url));
    mkdirSync(new URL('.', import.meta.url), { recursive: true });
    const [compiler = 'g++', ...flags] = COMMAND;
    const result = spawnSync(compiler, [...flags, ...sources, '-o', binary], { encoding: 'utf8' });
    if (result.status !== 0)
      throw new Error(`the baselines did not compile: ${result.error?.message ?? result.stderr}`);
    return new Baseline(binary);
  }

  private constructor(binary: string) {
    this.#child = spawn(binary, { stdio: 'pipe' });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    this.#ended = new Promise(resolve => this.#child.once('close', resolve));
  }

  /** Of the child, to read its /proc. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Runs one command. The time is the child's own; what the pipe takes is not in it. */
  async run(...words: (string | number)[]): Promise<Answer> {
    this.#child.stdin.write(`${words.join(' ')}\n`);
    const line = await this.#lines.next();
    if (line.done === true)
      throw new Error(`the baseline ended (status ${await this.#ended}) in '${words[0]}': ${this.#errors}`);
    const [nanoseconds = '', check = ''] = line.value.split(' ');
    return { nanoseconds: Number(nanoseconds), check: BigInt(check) };
  }

  /** Ends the child and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}

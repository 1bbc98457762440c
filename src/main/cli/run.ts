// `node-kvm run <image>`: one guest on the terminal, from load to result. Main thread.
// Without --json the guest's console is standard output and everything of ours is standard error; with --json standard
// output is one JSON object, and the console is in it.

import { Command } from 'commander';
import type { Image } from '../images/image.ts';
import type { VirtualMachine } from '../vm/virtual-machine.ts';
import { ConsoleCapture, ConsoleTerminal, type GuestConsole } from './guest-console.ts';
import { CONSOLE_HELP, GOOD_ENDS, type GuestOptions, openGuest, withGuestOptions } from './guest-options.ts';
import { Interrupts, signalStatus } from './interrupts.ts';
import { NO_PROGRESS, showProgress } from './progress.ts';
import { humanResult, jsonResult, type RunFacts, statsTable } from './run-report.ts';
import { TracePrinter } from './trace-printer.ts';

interface RunOptions extends GuestOptions {
  readonly trace?: boolean;
  readonly stats?: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  return withGuestOptions(new Command('run'))
    .description('run an image: an ELF executable, a flat binary, a PC BIOS, or a JavaScript or WebAssembly program')
    .option('--trace', 'print every exit')
    .option('--stats', 'print exits and times of each vCPU at the end')
    .option('--json', 'print the result as JSON on standard output')
    .addHelpText(
      'after',
      CONSOLE_HELP +
        'Exit status: 0 halt, power-off, reset or the end of a program; 1 triple fault, timeout or error; 2 wrong usage;\n' +
        '130 Ctrl-C, 143 SIGTERM.',
    )
    .action(run);
}

async function run(path: string, options: RunOptions): Promise<void> {
  const output: GuestConsole = options.json === true ? new ConsoleCapture() : new ConsoleTerminal();
  const { vm, image } = await openGuest(path, options, output, { trace: options.trace === true });
  try {
    process.exitCode = await drive(vm, image, path, options, output);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

/** From start to the report; the result is the exit status. */
async function drive(
  vm: VirtualMachine,
  image: Image,
  path: string,
  options: RunOptions,
  output: GuestConsole,
): Promise<number> {
  const json = options.json === true;
  const onTerminal = process.stderr.isTTY === true && !json && options.trace !== true;
  const interrupts = new Interrupts(vm);
  const begin = performance.now();
  await vm.start();
  const tracer = options.trace === true ? new TracePrinter(vm, json) : undefined;
  const progress = onTerminal ? showProgress(vm, output, options.timeout) : NO_PROGRESS;
  const result = await vm.finished;
  const seconds = (performance.now() - begin) / 1000;
  progress.end();
  const trace = tracer?.end();
  interrupts.release();
  output.end();
  const facts: RunFacts = { image: path, format: image.kind, vm, result, seconds, signal: interrupts.signal };
  if (json) process.stdout.write(jsonResult(facts, output.captured(), { trace }));
  else {
    if (options.stats === true) process.stderr.write(statsTable(vm));
    process.stderr.write(`node-kvm: ${humanResult(facts)}\n`);
  }
  if (facts.signal !== undefined) return signalStatus(facts.signal);
  return GOOD_ENDS.includes(result.reason) ? 0 : 1;
}

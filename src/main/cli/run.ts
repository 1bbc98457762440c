// `node-kvm run <image>`: one guest on the terminal, from load to result. Main thread.
// Without --json the guest's console is standard output and everything of ours is standard error; with --json standard
// output is one JSON object, and the console is in it.

import { Command } from 'commander';
import { ConsoleCapture, ConsoleTerminal, type GuestConsole } from './guest-console.ts';
import { ESCAPE_HELP, GuestInput } from './guest-input.ts';
import {
  CONSOLE_HELP,
  GOOD_ENDS,
  type Guest,
  type GuestOptions,
  openGuest,
  withGuestOptions,
} from './guest-options.ts';
import { Interrupts, signalStatus } from './interrupts.ts';
import { humanResult, jsonResult, marksLine, type RunFacts } from './run-report.ts';
import { TracePrinter } from './trace-printer.ts';

interface RunOptions extends GuestOptions {
  readonly trace?: boolean;
  readonly stats?: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  return withGuestOptions(new Command('run'))
    .description(
      'run an image: a Linux kernel, an ELF executable, a flat binary, a PC BIOS, or a JavaScript or WebAssembly program',
    )
    .option('--trace', 'print every exit')
    .option('--stats', 'print exits and times of each vCPU at the end')
    .option('--json', 'print the result as JSON on standard output')
    .addHelpText(
      'after',
      CONSOLE_HELP +
        `Standard input is a Linux guest's keyboard: on a terminal every key, Ctrl-C too; ${ESCAPE_HELP}.\n` +
        'Exit status: 0 halt, power-off, reset, the end of a program, Ctrl-A x; 1 kernel panic, triple fault, timeout or error;\n' +
        '2 wrong usage; 130 Ctrl-C, 143 SIGTERM. A panic is told from a reset when the guest has loaded pvpanic-mmio.',
    )
    .action(run);
}

async function run(path: string | undefined, options: RunOptions): Promise<void> {
  const output: GuestConsole = options.json === true ? new ConsoleCapture() : new ConsoleTerminal();
  const guest = await openGuest(path, options, output, { trace: options.trace === true });
  try {
    process.exitCode = await drive(guest, options, output);
  } finally {
    await guest.vm[Symbol.asyncDispose]();
  }
}

/** From start to the report; the result is the exit status. */
async function drive(guest: Guest, options: RunOptions, output: GuestConsole): Promise<number> {
  const { vm, image, path, drained } = guest;
  const json = options.json === true;
  const showsProgress = process.stderr.isTTY === true && !json && options.trace !== true && image.kind !== 'linux';
  const interrupts = new Interrupts(vm);
  const input = image.kind === 'linux' ? openInput(guest, json) : undefined;
  let tracer: TracePrinter | undefined;
  let facts: RunFacts;
  try {
    const begin = performance.now();
    await vm.start();
    tracer = options.trace === true ? new TracePrinter(vm, json) : undefined;
    const progress = showsProgress
      ? (await import('./progress.ts')).showProgress(vm, output, options.timeout)
      : undefined;
    const result = await vm.finished;
    const seconds = (performance.now() - begin) / 1000;
    progress?.end();
    await drained;
    facts = { image: path, format: image.kind, vm, result, seconds, signal: interrupts.signal };
  } finally {
    input?.end();
    interrupts.release();
  }
  const trace = tracer?.end();
  output.end();
  if (json) process.stdout.write(jsonResult(facts, output.captured(), { trace }));
  else {
    if (options.stats === true) {
      const { statsTable } = await import('./stats-table.ts');
      process.stderr.write(`${statsTable(vm)}${marksLine(vm)}`);
    }
    process.stderr.write(`node-kvm: ${humanResult(facts)}\n`);
  }
  if (facts.signal !== undefined) return signalStatus(facts.signal);
  return GOOD_ENDS.includes(facts.result.reason) || input?.wasQuit === true ? 0 : 1;
}

/** Standard input becomes the guest's keyboard; a terminal stays as it is when the console is not shown. */
function openInput({ vm }: Guest, json: boolean): GuestInput | undefined {
  if (process.stdin.isTTY !== true) return new GuestInput(vm.console, process.stdin, () => {});
  if (json) return undefined;
  process.stderr.write(`node-kvm: ${ESCAPE_HELP}\n`);
  // How stopping went is in what the command waits for anyway.
  return new GuestInput(vm.console, process.stdin, () => void vm.stop().catch(() => {}));
}

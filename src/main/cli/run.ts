// `node-kvm run <image>`: one guest on the terminal, from load to result. Main thread.
// Without --json the guest's console is standard output and everything of ours is standard error; with --json standard
// output is one JSON object, and the console is in it.

import { Command } from 'commander';
import { exitStatus, type Guest, runGuest, withGuest } from './guest.ts';
import { ConsoleCapture, ConsoleTerminal, type GuestConsole } from './guest-console.ts';
import { ESCAPE_HELP, GuestInput } from './guest-input.ts';
import { GUEST_HELP, type GuestOptions, withGuestOptions } from './guest-options.ts';
import { Interrupts } from './interrupts.ts';
import type { Progress } from './progress.ts';
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
      GUEST_HELP +
        `Standard input is a Linux guest's keyboard: on a terminal every key, Ctrl-C too; ${ESCAPE_HELP}.\n` +
        'Exit status: 0 halt, power-off, reset, the end of a program, Ctrl-A x; 1 kernel panic, triple fault, timeout or error;\n' +
        '2 wrong usage; 130 Ctrl-C, 143 SIGTERM. A panic is told from a reset when the guest has loaded pvpanic-mmio.',
    )
    .action(run);
}

async function run(path: string | undefined, options: RunOptions): Promise<void> {
  const output: GuestConsole = options.json === true ? new ConsoleCapture() : new ConsoleTerminal();
  const more = { trace: options.trace === true };
  await withGuest(path, options, output, more, guest => drive(guest, options, output));
}

/** From start to the report; the result is the exit status. */
async function drive(guest: Guest, options: RunOptions, output: GuestConsole): Promise<number> {
  const { vm, image } = guest;
  const json = options.json === true;
  const showsProgress = process.stderr.isTTY === true && !json && options.trace !== true && image.kind !== 'linux';
  const bar = showsProgress ? await import('./progress.ts') : undefined;
  const interrupts = new Interrupts(vm);
  const input = image.kind === 'linux' ? openInput(guest, json) : undefined;
  let tracer: TracePrinter | undefined;
  let progress: Progress | undefined;
  let facts: RunFacts;
  try {
    facts = await runGuest(guest, interrupts, () => {
      tracer = options.trace === true ? new TracePrinter(vm, json) : undefined;
      progress = bar?.showProgress(vm, output, options.timeout);
    });
  } finally {
    progress?.end();
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
  return exitStatus(facts, input?.wasQuit === true);
}

/** Standard input becomes the guest's keyboard; a terminal stays as it is when the console is not shown. */
function openInput({ vm }: Guest, json: boolean): GuestInput | undefined {
  if (process.stdin.isTTY !== true) return new GuestInput(vm.console, process.stdin, () => {});
  if (json) return undefined;
  process.stderr.write(`node-kvm: ${ESCAPE_HELP}\n`);
  // How stopping went is in what the command waits for anyway.
  return new GuestInput(vm.console, process.stdin, () => void vm.stop().catch(() => {}));
}

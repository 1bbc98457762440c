// `node-kvm run <image>`: one guest on the terminal, from load to result. Main thread.
// Without --json the guest's console is standard output and everything of ours is standard error; with --json standard
// output is one JSON object, and the console is in it.

import { Command } from 'commander';
import { HypervisorError } from '../../../shared/errors.ts';
import type { StartMode, StartRing } from '../images/boot-state.ts';
import type { Image } from '../images/image.ts';
import { VirtualMachine, type VmResult } from '../vm/virtual-machine.ts';
import { consoleDevices } from './console.ts';
import { FORMATS, openImage } from './image-format.ts';
import { ConsoleCapture, ConsoleTerminal, type GuestConsole } from './guest-console.ts';
import { humanResult, jsonResult, type RunFacts, statsTable } from './run-report.ts';
import { TracePrinter } from './trace-printer.ts';
import { choice, parseAddress, parseCount, parseSeconds, parseSize } from './values.ts';
import { showProgress } from './progress.ts';

/** Commander's values after their parsers. */
interface RunOptions {
  readonly cpus: number;
  readonly memory: number;
  readonly engine: 'auto' | 'kvm' | 'host';
  readonly format: (typeof FORMATS)[number];
  readonly mode?: '16' | '32' | '64';
  readonly cpl?: '0' | '3';
  readonly at?: number;
  readonly entry?: number;
  readonly trace?: boolean;
  readonly stats?: boolean;
  readonly timeout?: number;
  readonly json?: boolean;
}

/** Ends of a guest that are no failure. */
const GOOD_ENDS: readonly VmResult['reason'][] = ['halt', 'power-off', 'reset', 'program-end'];

export function runCommand(): Command {
  return new Command('run')
    .description('run an image: an ELF executable, a flat binary, a PC BIOS, or a JavaScript or WebAssembly program')
    .argument('<image>', 'path of the image')
    .option('--cpus <count>', 'number of vCPUs', parseCount, 1)
    .option('--memory <size>', 'guest RAM: 64M, 2G, …', parseSize, 256 << 20)
    .addOption(choice('--engine <engine>', 'what executes the vCPUs', ['auto', 'kvm', 'host']).default('auto'))
    .addOption(choice('--format <format>', 'what the image is', FORMATS).default('auto'))
    .addOption(choice('--mode <bits>', 'flat: start in real, protected or long mode (default 64)', ['16', '32', '64']))
    .addOption(choice('--cpl <ring>', 'elf and flat: privilege level (default 0)', ['0', '3']))
    .option('--at <address>', 'flat: where the image goes (default 0x7c00 in 16-bit mode, else 0x100000)', parseAddress)
    .option('--entry <address>', 'flat: first instruction (default: where the image is)', parseAddress)
    .option('--trace', 'print every exit')
    .option('--stats', 'print exits and times of each vCPU at the end')
    .option('--timeout <seconds>', 'end the guest after that time', parseSeconds)
    .option('--json', 'print the result as JSON on standard output')
    .allowExcessArguments(false)
    .addHelpText(
      'after',
      '\nThe console is what the guest writes to ports 0x3f8 (serial), 0xe9 and 0x402; a write to port 0x604 powers off.\n' +
        'Exit status: 0 halt, power-off, reset or the end of a program; 1 triple fault, timeout or error; 2 wrong usage;\n' +
        '130 Ctrl-C, 143 SIGTERM.',
    )
    .action(run);
}

async function run(path: string, options: RunOptions): Promise<void> {
  const output: GuestConsole = options.json === true ? new ConsoleCapture() : new ConsoleTerminal();
  const image = await openImage(
    path,
    {
      format: options.format,
      mode: options.mode === undefined ? undefined : (Number(options.mode) as StartMode),
      cpl: options.cpl === undefined ? undefined : (Number(options.cpl) as StartRing),
      at: options.at,
      entry: options.entry,
    },
    line => output.line(line),
  );
  const vm = await VirtualMachine.create({
    memory: options.memory,
    vcpus: options.cpus,
    engine: engineFor(image, options.engine),
    devices: consoleDevices(byte => output.byte(byte), image.kind !== 'bios'),
    trace: options.trace === true,
    ...(options.timeout === undefined ? {} : { deadlineMs: options.timeout * 1000 }),
  });
  try {
    await drive(vm, image, path, options, output);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

/** 'auto' means KVM for guests, whose absence is then the error to report, and the host engine for programs. */
function engineFor(image: Image, wanted: RunOptions['engine']): 'kvm' | 'host' {
  if (wanted !== 'auto') return wanted;
  return image.engine;
}

async function drive(vm: VirtualMachine, image: Image, path: string, options: RunOptions, output: GuestConsole): Promise<void> {
  await vm.load(image);
  const interrupts = new Interrupts(vm);
  const tracer = options.trace === true ? new TracePrinter(vm) : undefined;
  const begin = performance.now();
  await vm.start();
  const progress = showProgress(vm, output, options.json !== true && options.trace !== true);
  const result = await vm.finished;
  const seconds = (performance.now() - begin) / 1000;
  progress.end();
  tracer?.end();
  interrupts.release();
  output.end();
  const facts: RunFacts = { image: path, format: image.kind, vm, result, seconds, signal: interrupts.signal };
  if (options.json === true) process.stdout.write(jsonResult(facts, output.text(), tracer?.records));
  else {
    if (options.stats === true) process.stderr.write(statsTable(vm.stats()));
    process.stderr.write(`node-kvm: ${humanResult(facts)}\n`);
  }
  process.exitCode = exitStatus(facts);
}

function exitStatus({ result, signal }: RunFacts): number {
  if (signal === 'SIGINT') return 130;
  if (signal === 'SIGTERM') return 143;
  return GOOD_ENDS.includes(result.reason) ? 0 : 1;
}

// `node-kvm run <image>`: one guest on the terminal, from load to result. Main thread.
// Without --json the guest's console is standard output and everything of ours is standard error; with --json standard
// output is one JSON object, and the console is in it.

import { Command, Option } from 'commander';
import { MIB } from '../../../shared/units.ts';
import type { StartMode, StartRing } from '../images/boot-state.ts';
import type { Image } from '../images/image.ts';
import { VirtualMachine, type VmResult } from '../vm/virtual-machine.ts';
import { consoleDevices } from './console.ts';
import { ConsoleCapture, ConsoleTerminal, type GuestConsole } from './guest-console.ts';
import { FORMATS, openImage } from './image-format.ts';
import { Interrupts, signalStatus } from './interrupts.ts';
import { NO_PROGRESS, showProgress } from './progress.ts';
import { humanResult, jsonResult, type RunFacts, statsTable } from './run-report.ts';
import { TracePrinter } from './trace-printer.ts';
import { choice, parseAddress, parseCount, parseSeconds, parseSize } from './values.ts';

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
    .addOption(new Option('--memory <size>', 'guest RAM: 64M, 2G, …').argParser(parseSize).default(256 * MIB, '256M'))
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
      '\nThe console is what the guest writes to ports 0x3f8 (serial), 0xe9 and 0x402; 0x2000 to port 0x604 powers off.\n' +
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
    // A WebAssembly program can only have RAM as its memory when RAM is one.
    memory: isWasm(image) ? { size: options.memory, backing: 'wasm' } : options.memory,
    vcpus: options.cpus,
    // 'auto' goes by the image: without KVM a guest's error then says how to get it.
    engine: options.engine === 'auto' ? image.engine : options.engine,
    devices: consoleDevices(byte => output.byte(byte), image.kind === 'bios'),
    trace: options.trace === true,
    ...(options.timeout === undefined ? {} : { deadlineMs: options.timeout * 1000 }),
  });
  try {
    await vm.load(image);
    process.exitCode = await drive(vm, image, path, options, output);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

const isWasm = (image: Image) => image.kind === 'program' && image.source.type === 'wasm';

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
  if (json) process.stdout.write(jsonResult(facts, output.captured(), trace));
  else {
    if (options.stats === true) process.stderr.write(statsTable(vm));
    process.stderr.write(`node-kvm: ${humanResult(facts)}\n`);
  }
  if (facts.signal !== undefined) return signalStatus(facts.signal);
  return GOOD_ENDS.includes(result.reason) ? 0 : 1;
}

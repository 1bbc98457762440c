// The options that say which guest runs and how, and the machine that they make: for every command that runs an image. Main thread.

import { finished } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { MIB } from '../../../shared/units.ts';
import type { StartMode, StartRing } from '../images/boot-state.ts';
import type { Image } from '../images/image.ts';
import { VirtualMachine, type VmResult } from '../vm/virtual-machine.ts';
import type { VirtualMachineOptions } from '../vm/vm-options.ts';
import { consoleDevices } from './console.ts';
import type { GuestConsole } from './guest-console.ts';
import { FORMATS, openImage } from './image-format.ts';
import { choice, parseAddress, parseCount, parseSeconds, parseSize, UsageError } from './values.ts';

/** Commander's values after their parsers. */
export interface GuestOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly cpus: number;
  readonly memory: number;
  readonly engine: 'auto' | 'kvm' | 'host';
  readonly format: (typeof FORMATS)[number];
  readonly mode?: '16' | '32' | '64';
  readonly cpl?: '0' | '3';
  readonly at?: number;
  readonly entry?: number;
  readonly timeout?: number;
}

/** What every such command says at the end of its help. */
export const CONSOLE_HELP =
  "\nA Linux kernel (bzImage or ELF) has the first serial port, ttyS0, as its console; --cmdline comes after 'console=ttyS0 panic=-1'.\n" +
  'It needs an ordinary KVM: on a PVM kernel, which emulates ring 0, stock kernels do not boot. For any other image, the console is what the guest writes to ports 0x3f8 (serial), 0xe9 and 0x402; 0x2000 to port 0x604 powers off.\n';

/** Ends of a guest that are no failure. */
export const GOOD_ENDS: readonly VmResult['reason'][] = ['halt', 'power-off', 'reset', 'program-end'];

/** Adds the image as the only argument, which --kernel may stand for, and the options. */
export function withGuestOptions(command: Command): Command {
  return command
    .argument('[image]', 'path of the image')
    .option('--kernel <file>', 'the image is this Linux kernel: a bzImage (vmlinuz) or an ELF vmlinux')
    .option('--initrd <file>', 'linux: its initial file system')
    .option('--cmdline <text>', "linux: more of the kernel's command line")
    .option('--cpus <count>', 'number of vCPUs', parseCount, 1)
    .addOption(new Option('--memory <size>', 'guest RAM: 64M, 2G, …').argParser(parseSize).default(256 * MIB, '256M'))
    .addOption(choice('--engine <engine>', 'what executes the vCPUs', ['auto', 'kvm', 'host']).default('auto'))
    .addOption(choice('--format <format>', 'what the image is', FORMATS).default('auto'))
    .addOption(choice('--mode <bits>', 'flat: start in real, protected or long mode (default 64)', ['16', '32', '64']))
    .addOption(choice('--cpl <ring>', 'elf and flat: privilege level (default 0)', ['0', '3']))
    .option('--at <address>', 'flat: where the image goes (default 0x7c00 in 16-bit mode, else 0x100000)', parseAddress)
    .option('--entry <address>', 'flat: first instruction (default: where the image is)', parseAddress)
    .option('--timeout <seconds>', 'end the guest after that time; that is a failure', parseSeconds)
    .allowExcessArguments(false);
}

/** A machine that is loaded and not yet started. The caller disposes of it. */
export interface Guest {
  readonly vm: VirtualMachine;
  readonly image: Image;
  /** The image's, or the kernel's. */
  readonly path: string;
  /** After the end: all that the guest sent has gone to the console. */
  readonly drained: Promise<void>;
}

/** Makes the machine and loads the image; its console goes to `output`. `more`: what the command itself wants of the machine. */
export async function openGuest(
  argument: string | undefined,
  options: GuestOptions,
  output: GuestConsole,
  more: Pick<VirtualMachineOptions, 'trace' | 'dirtyTracking'>,
): Promise<Guest> {
  const path = choosePath(argument, options);
  const image = await openImage(
    path,
    {
      format: options.kernel === undefined ? options.format : 'linux',
      initrd: options.initrd,
      cmdline: options.cmdline,
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
    // A Linux kernel's machine has its console and power ports itself.
    devices: image.kind === 'linux' ? [] : consoleDevices(byte => output.byte(byte), image.kind === 'bios'),
    ...(options.timeout === undefined ? {} : { deadlineMs: options.timeout * 1000 }),
    ...more,
  });
  try {
    await vm.load(image);
    return { vm, image, path, drained: image.kind === 'linux' ? passOn(vm, output) : Promise.resolve() };
  } catch (error) {
    await vm[Symbol.asyncDispose]();
    throw error;
  }
}

/** @throws UsageError unless there is one of the two, and a format that goes with it */
function choosePath(argument: string | undefined, { kernel, format }: GuestOptions): string {
  if (kernel === undefined && argument === undefined)
    throw new UsageError("missing required argument 'image', or --kernel");
  if (kernel === undefined) return argument ?? '';
  if (argument !== undefined)
    throw new UsageError(`--kernel ${kernel} stands for the image: '${argument}' is one too many`);
  if (format !== 'auto' && format !== 'linux')
    throw new UsageError(`--kernel has no meaning for an image of format ${format}`);
  return kernel;
}

async function passOn(vm: VirtualMachine, output: GuestConsole): Promise<void> {
  vm.console.on('data', (bytes: Uint8Array) => output.bytes(bytes));
  await finished(vm.console, { writable: false });
}

const isWasm = (image: Image) => image.kind === 'program' && image.source.type === 'wasm';

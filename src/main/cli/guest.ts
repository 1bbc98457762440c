// The guest that the options ask for: its machine with devices, console and sockets, its run from start to end, and what remains of it: nothing. For every
// command that runs an image. Main thread.

import { finished } from 'node:stream/promises';
import { messageOf } from '../../../shared/errors.ts';
import { type Vsock, vsock } from '../devices/vsock.ts';
import type { VsockUnix } from '../devices/vsock-unix.ts';
import type { StartMode, StartRing } from '../images/boot-state.ts';
import type { Image } from '../images/image.ts';
import { VirtualMachine, type VmResult } from '../vm/virtual-machine.ts';
import type { VirtualMachineOptions } from '../vm/vm-options.ts';
import { consoleDevices } from './console.ts';
import type { GuestConsole } from './guest-console.ts';
import type { GuestOptions, SocketOptions } from './guest-options.ts';
import { openImage } from './image-format.ts';
import { type Interrupts, signalStatus } from './interrupts.ts';
import type { RunFacts } from './run-report.ts';
import { UsageError } from './values.ts';

/** Ends of a guest that are no failure. */
const GOOD_ENDS: readonly VmResult['reason'][] = ['halt', 'power-off', 'reset', 'program-end'];

/** A machine that is loaded. */
export interface Guest {
  readonly vm: VirtualMachine;
  readonly image: Image;
  /** The image's, or the kernel's. */
  readonly path: string;
  /** After the end: all that the guest sent has gone to the console. */
  readonly drained: Promise<void>;
}

/**
 * Makes the machine and loads the image; its console goes to `output`. `use` starts it and reports; its result is the process's exit status. Nothing of
 * the machine is left afterwards. `more`: what the command itself wants of the machine.
 */
export async function withGuest(
  argument: string | undefined,
  options: GuestOptions,
  output: GuestConsole,
  more: Pick<VirtualMachineOptions, 'trace' | 'dirtyTracking'>,
  use: (guest: Guest) => Promise<number>,
): Promise<void> {
  const path = choosePath(argument, options);
  const sockets = options.vsock === undefined ? undefined : await openSockets(options.vsock);
  try {
    const image = await openImage(path, imageOptions(options), line => output.line(line));
    const vm = await VirtualMachine.create(machineOptions(options, image, output, more, sockets?.host));
    try {
      await vm.load(image);
      const drained = image.kind === 'linux' ? passOn(vm, output) : Promise.resolve();
      process.exitCode = await use({ vm, image, path, drained });
    } finally {
      await vm[Symbol.asyncDispose]();
    }
  } finally {
    await sockets?.unix[Symbol.asyncDispose]();
  }
}

/** Starts the guest and waits for its end, of its own or by a signal, and for its console's. */
export async function runGuest(
  { vm, image, path, drained }: Guest,
  interrupts: Interrupts,
  onStarted: () => void,
): Promise<RunFacts> {
  const begin = performance.now();
  await vm.start();
  onStarted();
  const result = await vm.finished;
  const seconds = (performance.now() - begin) / 1000;
  await drained;
  return { image: path, format: image.kind, vm, result, seconds, signal: interrupts.signal };
}

/** `asked`: the user wanted it to end, and that is no failure. */
export function exitStatus({ result, signal }: RunFacts, asked: boolean): number {
  if (signal !== undefined) return signalStatus(signal);
  return GOOD_ENDS.includes(result.reason) || (result.reason === 'stopped' && asked) ? 0 : 1;
}

function imageOptions(options: GuestOptions): Parameters<typeof openImage>[1] {
  return {
    format: options.kernel === undefined ? options.format : 'linux',
    initrd: options.initrd,
    cmdline: options.cmdline,
    mode: options.mode === undefined ? undefined : (Number(options.mode) as StartMode),
    cpl: options.cpl === undefined ? undefined : (Number(options.cpl) as StartRing),
    at: options.at,
    entry: options.entry,
  };
}

function machineOptions(
  options: GuestOptions,
  image: Image,
  output: GuestConsole,
  more: Pick<VirtualMachineOptions, 'trace' | 'dirtyTracking'>,
  host: Vsock | undefined,
): VirtualMachineOptions {
  return {
    // A WebAssembly program can only have RAM as its memory when RAM is one.
    memory: isWasm(image) ? { size: options.memory, backing: 'wasm' } : options.memory,
    vcpus: options.cpus,
    // 'auto' goes by the image: without KVM a guest's error then says how to get it.
    engine: options.engine === 'auto' ? image.engine : options.engine,
    // A Linux kernel's machine has its console and power ports itself.
    devices: image.kind === 'linux' ? [] : consoleDevices(byte => output.byte(byte), image.kind === 'bios'),
    disks: options.disk ?? [],
    rng: options.rng === true,
    virtio: host === undefined ? [] : [host.device],
    ...(options.timeout === undefined ? {} : { deadlineMs: options.timeout * 1000 }),
    ...more,
  };
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

/** Before anything else is made: whether it can be had shows only so. @throws UsageError; RangeError for a cid that is none */
async function openSockets({ path, cid }: SocketOptions): Promise<{ host: Vsock; unix: VsockUnix }> {
  const { VsockUnix } = await import('../devices/vsock-unix.ts');
  const host = vsock(cid === undefined ? {} : { cid });
  try {
    return { host, unix: await VsockUnix.open(host, path) };
  } catch (error) {
    throw new UsageError(`'${path}' cannot be the socket of --vsock: ${messageOf(error)}`);
  }
}

async function passOn(vm: VirtualMachine, output: GuestConsole): Promise<void> {
  vm.console.on('data', (bytes: Uint8Array) => output.bytes(bytes));
  await finished(vm.console, { writable: false });
}

const isWasm = (image: Image) => image.kind === 'program' && image.source.type === 'wasm';

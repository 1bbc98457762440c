// One boot by each side, seen by one and the same observer: the command node-kvm, QEMU's microvm, and a VM within this process. Main thread.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type BootMarks, VirtualMachine } from 'node-kvm';
import { LINUX_CMDLINE } from '../../src/main/images/linux.ts';

/** The very same for both sides. Paths of files; `more` comes after node-kvm's own command line. */
export interface Guest {
  readonly kernel: string;
  readonly initrd: string;
  readonly more: string;
  readonly vcpus: number;
}

/** Milliseconds since the side was started. */
export interface Boot {
  /** The first process's first line had arrived here. */
  readonly line: number;
  /** The process had ended; of a VM within this process: it had finished. */
  readonly end: number;
  readonly marks?: BootMarks;
}

export const MEMORY_MIB = 256;
/** What the guest's first process says (test/linux/programs/first-line.c). */
const FIRST_LINE = 'first line';
/** A boot takes a fraction of a second where KVM is hardware's, and some seconds on an emulated machine. */
const TIMEOUT_MS = 300_000;

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** `node dist/cli.js run`, as a user starts it. */
export async function bootByCommand({ kernel, initrd, more, vcpus }: Guest): Promise<Boot> {
  const files = ['--kernel', kernel, '--initrd', initrd, '--cmdline', more];
  const size = ['--cpus', String(vcpus), '--memory', `${MEMORY_MIB}M`];
  const { messages, ...boot } = await observe(process.execPath, [CLI, 'run', ...files, ...size, '--stats']);
  const marks = /since create\(\) was called: (.*)/.exec(messages)?.[1] ?? '';
  const pairs = [...marks.matchAll(/(\w+) ([\d.]+) ms/g)].map(([, name = '', ms]) => [name, Number(ms)]);
  return { ...boot, marks: Object.fromEntries(pairs) as BootMarks };
}

/** QEMU's machine for short-lived guests: no firmware to speak of, no PCI, virtio-mmio and a serial port. */
export async function bootByQemu(qemu: string, { kernel, initrd, more, vcpus }: Guest): Promise<Boot> {
  const machine = ['-M', 'microvm', '-accel', 'kvm', '-cpu', 'host', '-smp', String(vcpus), '-m', `${MEMORY_MIB}M`];
  const nothingElse = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'];
  const files = ['-kernel', kernel, '-initrd', initrd, '-append', `${LINUX_CMDLINE} ${more}`.trim()];
  const { line, end } = await observe(qemu, [...machine, ...nothingElse, ...files]);
  return { line, end };
}

/** A VM within this process, which has loaded the library already. */
export async function bootHere({ kernel, initrd, more, vcpus }: Guest): Promise<Boot> {
  const begin = performance.now();
  await using vm = await VirtualMachine.create({
    kernel,
    initrd,
    cmdline: `${LINUX_CMDLINE} ${more}`.trim(),
    memory: MEMORY_MIB << 20,
    vcpus,
    engine: 'kvm',
    deadlineMs: TIMEOUT_MS,
  });
  const watch = watchFor(begin);
  vm.console.on('data', watch.take);
  const closed = once(vm.console, 'close');
  await vm.start();
  const { reason, error } = await vm.finished;
  const end = performance.now() - begin;
  await closed;
  if (reason !== 'power-off') throw new Error(`a VM in this process ended with ${reason}: ${error?.message}`);
  return { line: watch.line(), end, marks: vm.marks };
}

function watchFor(begin: number) {
  let text = '';
  let line: number | undefined;
  return {
    take: (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (line === undefined && text.includes(FIRST_LINE)) line = performance.now() - begin;
    },
    text: () => text,
    line: () => {
      if (line === undefined) throw new Error(`the guest never said '${FIRST_LINE}':\n${text}`);
      return line;
    },
  };
}

/** Runs a program to its end, which has to be a good one. */
async function observe(program: string, args: readonly string[]): Promise<Boot & { readonly messages: string }> {
  const begin = performance.now();
  const watch = watchFor(begin);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
  let messages = '';
  let end = 0;
  child.stdout.on('data', watch.take);
  child.stderr.on('data', data => {
    messages += data;
  });
  child.on('exit', () => {
    end = performance.now() - begin;
  });
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (status !== 0) {
    const how = `ended with ${signal ?? status} after ${Math.round(end)} ms`;
    throw new Error(`${program} ${args.join(' ')} ${how}:\n${messages}\n${watch.text()}`);
  }
  return { line: watch.line(), end, messages };
}

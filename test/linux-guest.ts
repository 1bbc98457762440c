// Debian's kernel as a guest, with a busybox initrd and a job: for tests of booting. Both are made by `npm run test:machine`, which takes
// them along into the emulated machine.

import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { extendInitrd, VirtualMachine, type VirtualMachineOptions, type VmResult } from 'node-kvm';
import * as assert from 'uvu/assert';
import { kvmKind } from '../src/main/host-facts.ts';
import { fromRoot } from './command.ts';
import { hasKvm, kvmSuite, type Suite, suiteUnless } from './harness.ts';
import { slowness } from './slowness.ts';

/** The same kernel: an ELF file with PVH's note, and compressed as it is shipped. */
export const VMLINUX = fromRoot('build/machine/vmlinux');
export const BZIMAGE = fromRoot('build/machine/vmlinuz');
export const GUEST_INITRD = fromRoot('build/machine/guest.cpio');

/** A suite that needs a KVM that boots stock kernels, and the guest. */
export function linuxSuite(name: string): Suite {
  if (!hasKvm) return kvmSuite(name);
  if (kvmKind() === 'pvm')
    return suiteUnless('a PVM kernel emulates ring 0, and no stock kernel boots there (npm run test:machine)', name);
  const missing = [VMLINUX, BZIMAGE, GUEST_INITRD].find(file => !existsSync(file));
  if (missing === undefined) return suiteUnless(undefined, name);
  const reason = `${missing} is missing (npm run test:machine makes it)`;
  if (process.env['TEST_EMULATOR'] !== undefined) throw new Error(reason);
  return suiteUnless(reason, name);
}

/**
 * The guest's initrd with `job`, a shell script; it ends with power-off unless the job ends otherwise. `programs`: names of C files in
 * test/linux/programs/ and examples/linux/, which the job finds in /bin.
 */
export function initrdWith(job: string, programs: readonly string[] = []): Uint8Array {
  const files = programs.map(name => ({
    path: `bin/${name}`,
    data: readFileSync(fromRoot(`build/linux/${name}`)),
    mode: 0o755,
  }));
  return extendInitrd(readFileSync(GUEST_INITRD), [{ path: 'job', data: job }, ...files]);
}

/** An initrd of one program: says `FIRST_LINE` on the console and powers off. The shortest life that a guest can have. */
export function shortInitrd(): Uint8Array {
  const data = readFileSync(fromRoot('build/linux/first-line'));
  return extendInitrd(new Uint8Array(), [{ path: 'init', data, mode: 0o755 }]);
}

/** The guest's initrd with that program beside all else: `rdinit=/bin/first-line` makes it the first process. */
export const withFirstLine = (): Uint8Array => initrdWith('', ['first-line']);

/** What that program says. */
export const FIRST_LINE = 'first line';

/** How a boot ended, and what the console had. */
export interface Booted {
  readonly result: VmResult;
  readonly text: string;
  readonly marks: VirtualMachine['marks'];
}

/** What create() takes; `job` and `programs` in place of an initrd. Without a job the guest has the shortest of lives. */
export type BootOptions = Partial<VirtualMachineOptions> & {
  readonly job?: string;
  readonly programs?: readonly string[];
};

/** A machine that is loaded and not started. */
export async function linuxMachine({ job, programs, ...options }: BootOptions): Promise<VirtualMachine> {
  return await VirtualMachine.create({
    kernel: VMLINUX,
    initrd: job === undefined ? shortInitrd() : initrdWith(job, programs),
    memory: 128 << 20,
    vcpus: 1,
    engine: 'kvm',
    deadlineMs: 20_000 * slowness,
    ...options,
  });
}

/** Runs it to its end, with everything that the console says. */
export async function runToEnd(vm: VirtualMachine): Promise<Booted> {
  const chunks: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of vm.console) chunks.push(chunk as Uint8Array);
  })();
  await vm.start();
  const result = await vm.finished;
  await reading;
  return { result, text: Buffer.concat(chunks).toString(), marks: vm.marks };
}

/** The console of a running guest, for a test that reacts to what its job says. */
export class Conversation {
  #text = '';
  readonly #vm: VirtualMachine;

  /** Before `start()`. */
  constructor(vm: VirtualMachine) {
    this.#vm = vm;
    vm.console.on('data', (chunk: Uint8Array) => {
      this.#text += chunk;
    });
  }

  /** Everything so far. */
  get text(): string {
    return this.#text;
  }

  /** Resolves when the console has said it. Fails when the guest has ended before. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#text)) {
      assert.is(this.#vm.state, 'running', `no ${pattern} in what the guest said:\n${this.#text}`);
      await Promise.race([once(this.#vm.console, 'data'), this.#vm.finished]);
    }
  }

  /** Types a line. */
  say(line: string): void {
    this.#vm.console.write(`${line}\n`);
  }
}

/** Loads it and runs it, for a machine that nobody else needs. */
export async function bootLinux(options: BootOptions): Promise<Booted> {
  await using vm = await linuxMachine(options);
  return await runToEnd(vm);
}

/** The lines that the job printed as `key=value`, by key. */
export function facts(text: string): Map<string, string> {
  return new Map([...text.matchAll(/^(\w+)=(.*?)\r?$/gm)].map(([, key = '', value = '']) => [key, value]));
}

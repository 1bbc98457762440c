// A Linux guest that does what a test tells it: a shell on its serial console runs one command after the other and says how each ended.
// One boot then serves all tests of a file.

import { once } from 'node:events';
import type { VirtualMachine, VmResult } from 'node-kvm';
import { type BootOptions, linuxMachine } from './linux-guest.ts';
import { slowness } from './slowness.ts';

/** Raw: what is typed is not printed, and ends of lines are single characters. The kernel's messages stay in its log. */
const LOOP =
  'dmesg -n 1; stty raw -echo; echo "status=0"; while read -r line; do eval "$line" </dev/null; echo "status=$?"; done';
const STATUS = /^status=(\d+)\n/m;

export class GuestShell implements AsyncDisposable {
  readonly vm: VirtualMachine;
  /** What the console printed since the last command began. */
  #text = '';

  private constructor(vm: VirtualMachine) {
    this.vm = vm;
    vm.console.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
    });
  }

  /** Boots; `job`: commands before the first one of the test's, separated by semicolons. */
  static async boot(options: BootOptions): Promise<GuestShell> {
    const vm = await linuxMachine({
      cmdline: 'console=ttyS0 panic=-1 quiet',
      deadlineMs: 28_000 * slowness,
      ...options,
      job: `${options.job}\n${LOOP}`,
    });
    const shell = new GuestShell(vm);
    try {
      await vm.start();
      await shell.#answer('the boot');
      return shell;
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a line of shell and gives what it printed, on both outputs. @throws where it does not end with status 0, or the machine ends */
  async run(command: string): Promise<string> {
    const { status, text } = await this.try(command);
    if (status !== 0) throw new Error(`the guest's '${command}' ended with ${status}\n${text}`);
    return text;
  }

  /** The same, for commands that may fail. */
  async try(command: string): Promise<{ status: number; text: string }> {
    this.vm.console.write(`${command}\n`);
    return await this.#answer(command);
  }

  /** Runs a command until it prints what `pattern` matches. */
  async until(command: string, pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(await this.run(command));
      if (match !== null) return match;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }

  /** Powers it off. */
  async end(): Promise<VmResult> {
    this.vm.console.write('poweroff -f\n');
    return await this.vm.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vm[Symbol.asyncDispose]();
  }

  async #answer(command: string): Promise<{ status: number; text: string }> {
    for (;;) {
      const match = STATUS.exec(this.#text);
      if (match !== null) {
        const text = this.#text.slice(0, match.index);
        this.#text = this.#text.slice(match.index + match[0].length);
        return { status: Number(match[1]), text };
      }
      if (this.vm.state !== 'running') {
        const { reason, error } = await this.vm.finished;
        throw new Error(`the machine ended (${reason} ${error?.message ?? ''}) during '${command}'\n${this.#text}`);
      }
      await Promise.race([once(this.vm.console, 'data'), this.vm.finished]);
    }
  }
}

/** One guest for all tests of a file, booted by the first that asks for it. */
export class SharedGuest {
  readonly #boot: () => Promise<GuestShell>;
  #guest: Promise<GuestShell> | undefined;

  constructor(boot: () => Promise<GuestShell>) {
    this.#boot = boot;
  }

  get(): Promise<GuestShell> {
    this.#guest ??= this.#boot();
    return this.#guest;
  }

  async dispose(): Promise<void> {
    // One that did not boot has been told of where it was asked for.
    const guest = await this.#guest?.catch(() => undefined);
    await guest?.[Symbol.asyncDispose]();
  }
}

/** '3.1 MiB/s', for what a test prints. */
export function speed(bytes: number, ms: number): string {
  return `${(bytes / 2 ** 20 / (ms / 1000)).toFixed(2)} MiB/s`;
}

// `npm run bench:boot`: how long Linux takes to its first process under node-kvm and under QEMU's microvm: the same kernel, initrd, command line
// and vCPUs, in turn. Main thread. Stock kernels need an ordinary KVM: where this machine has none, all of it runs within an emulated one.
// A missed goal is printed and fails nothing; a guest that does not come to its end does.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { kvmKind } from '../src/main/host-facts.ts';
import { extendInitrd } from '../src/main/images/initrd.ts';
import { bootByCommand, bootByQemu, bootHere, type Guest, MEMORY_MIB } from './boot/machines.ts';
import { type Pair, type Result, renderResult } from './boot/report.ts';

const USAGE = `usage: npm run bench:boot -- [--pairs <number>] [--cpus <number>]... [--cmdline <text>] [--qemu <program>] [--json]
  --pairs <number>   boots of each side, 1 to 100 (default 5)
  --cpus <number>    vCPUs; may be repeated (default 1 and 2)
  --cmdline <text>   more of the kernel's command line (default 'quiet')
  --qemu <program>   default qemu-system-x86_64
  --json             the results as JSON on standard output
`;
const fromRoot = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** What the job of the emulated machine makes. */
const VMLINUX = fromRoot('build/machine/vmlinux');
const GUEST_INITRD = fromRoot('build/machine/guest.cpio');
/** The guest's first process (test/linux/programs/), beside all that the initrd of the tests has. */
const FIRST_PROCESS = '/bin/first-line';

/** Tells the benchmark in the emulated machine that it is there. */
const INSIDE = process.env['TEST_EMULATOR'] !== undefined;
/** For all boots together, on an emulated machine whose host has other things to do as well. */
const LIMIT_SECONDS = 3600;

interface Options {
  readonly pairs: number;
  readonly cpus: readonly number[];
  readonly cmdline: string;
  readonly qemu: string;
  readonly json: boolean;
}

function options(): Options {
  try {
    const { values } = parseArgs({
      options: {
        pairs: { type: 'string', default: '5' },
        cpus: { type: 'string', multiple: true, default: ['1', '2'] },
        cmdline: { type: 'string', default: 'quiet' },
        qemu: { type: 'string', default: 'qemu-system-x86_64' },
        json: { type: 'boolean', default: false },
      },
    });
    const number = (text: string, most: number) => {
      const value = Number(text);
      if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`'${text}' is not from 1 to ${most}`);
      return value;
    };
    return { ...values, pairs: number(values.pairs, 100), cpus: values.cpus.map(text => number(text, 32)) };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

/** The job of the emulated machine, with `args`. The process's exit status. */
function machine(args: readonly string[]): number {
  const { status } = spawnSync(process.execPath, ['build/test/machine/run.js', ...args], {
    stdio: 'inherit',
    env: { ...process.env, TEST_TIMEOUT_SECONDS: String(LIMIT_SECONDS) },
  });
  return status ?? 1;
}

async function measure({ pairs, cpus, cmdline, qemu }: Options, say: (text: string) => void): Promise<Result[]> {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-boot-'));
  try {
    const initrd = join(folder, 'initrd');
    const data = readFileSync(fromRoot('build/linux/first-line'));
    writeFileSync(initrd, extendInitrd(readFileSync(GUEST_INITRD), [{ path: FIRST_PROCESS, data, mode: 0o755 }]));
    const guest = (vcpus: number): Guest => ({
      kernel: VMLINUX,
      initrd,
      more: `${cmdline} rdinit=${FIRST_PROCESS}`.trim(),
      vcpus,
    });
    const round = async (vcpus: number): Promise<Pair> => ({
      ours: await bootByCommand(guest(vcpus)),
      theirs: await bootByQemu(qemu, guest(vcpus)),
      here: await bootHere(guest(vcpus)),
    });
    // Does not count: both sides' files come from the disk.
    await round(1);
    const results: Result[] = [];
    for (const vcpus of cpus) {
      const done: Pair[] = [];
      while (done.length < pairs) done.push(await round(vcpus));
      const result = { vcpus, pairs: done };
      say(renderResult(result));
      results.push(result);
    }
    return results;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const chosen = options();
const kind = kvmKind();
if (!INSIDE && (kind === 'pvm' || !existsSync('/dev/kvm'))) {
  const why = kind === 'pvm' ? "this machine's KVM is PVM, which boots no stock kernel" : 'there is no /dev/kvm';
  process.stderr.write(`boot: ${why}: the benchmark runs within an emulated machine\n`);
  process.exitCode = machine(['--qemu', '--one-processor', '--run', 'build/bench/boot.js', ...process.argv.slice(2)]);
} else {
  if (!INSIDE && !(existsSync(VMLINUX) && existsSync(GUEST_INITRD)) && machine(['--guest']) !== 0) process.exit(2);
  const { cmdline, pairs } = chosen;
  if (!chosen.json)
    process.stdout.write(
      `${pairs} boots of each side, in turn; ${MEMORY_MIB} MiB, command line '${cmdline}', vmlinux by PVH\n\n`,
    );
  const results = await measure(chosen, text => chosen.json || process.stdout.write(`${text}\n`));
  if (chosen.json) process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`);
}

// The memory that a VM takes whose guest does nothing: resident bytes of the process and of its threads' stacks, with the
// worker (its V8 isolate) and without. Main thread; reads /proc of this process and of the baseline's.

import { readdirSync, readFileSync } from 'node:fs';
import { VcpuPool } from 'node-kvm';
import type { Baseline } from './baseline.ts';
import { guestCodeHex } from './guest.ts';
import type { Measure, Part } from './rounds.ts';
import { startVm, VM_MEMORY } from './startup.ts';

interface Resident {
  readonly all: number;
  readonly stacks: number;
}

/** Resident bytes of a process, and of the stacks of its threads that sleep (the first thread's is not counted). */
function resident(pid: number): Resident {
  const pointers: bigint[] = [];
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    if (Number(thread) === pid) continue;
    // "nr arg0 … arg5 sp pc" of the system call that the thread sleeps in; a running thread has none.
    const words = readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8').trim().split(' ');
    if (words.length > 2) pointers.push(BigInt(words.at(-2) ?? 0));
  }
  let all = 0;
  let stacks = 0;
  let isStack = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) {
      const [from, to] = [BigInt(`0x${range[1]}`), BigInt(`0x${range[2]}`)];
      isStack = pointers.some(pointer => pointer >= from && pointer < to);
    } else if (line.startsWith('Rss:')) {
      const bytes = Number(/\d+/.exec(line)?.[0] ?? 0) * 1024;
      all += bytes;
      if (isStack) stacks += bytes;
    }
  }
  return { all, stacks };
}

interface Sample {
  /** Bytes for each VM: the first ones, whose threads start; and those that reuse what the first ones left. */
  readonly first: Resident;
  readonly again: Resident;
}

function perVm(before: Resident, after: Resident, count: number): Resident {
  return {
    all: Math.max(0, after.all - before.all) / count,
    stacks: Math.max(0, after.stacks - before.stacks) / count,
  };
}

async function ours(count: number): Promise<Sample> {
  const before = resident(process.pid);
  await using pool = new VcpuPool({ threads: count });
  const cycle = async (): Promise<Resident> => {
    const vms = await Promise.all(Array.from({ length: count }, () => startVm(64, pool)));
    const after = resident(process.pid);
    for (const vm of vms) await vm.close();
    return after;
  };
  const first = await cycle();
  const between = resident(process.pid);
  return { first: perVm(before, first, count), again: perVm(between, await cycle(), count) };
}

async function theirs(baseline: Baseline, count: number): Promise<Sample> {
  const before = resident(baseline.pid);
  const cycle = async (): Promise<Resident> => {
    await baseline.run('idle-open', count, VM_MEMORY, 64, guestCodeHex(64));
    const after = resident(baseline.pid);
    await baseline.run('idle-close');
    return after;
  };
  const first = await cycle();
  const between = resident(baseline.pid);
  return { first: perVm(before, first, count), again: perVm(between, await cycle(), count) };
}

/** The measures show parts of the same samples: each round's is taken by the measure that asks first. */
function remember(take: () => Promise<Sample>): (round: number) => Promise<Sample> {
  const taken = new Map<number, Sample>();
  return async round => {
    const sample = taken.get(round) ?? (await take());
    taken.set(round, sample);
    return sample;
  };
}

/** Opens nothing: each round makes its VMs and takes them down. */
export async function openIdle(baseline: Baseline, quick: boolean): Promise<Part> {
  const count = quick ? 4 : 8;
  const rounds = quick ? 1 : 3;
  const mine = remember(() => ours(count));
  const other = remember(() => theirs(baseline, count));
  const measure = (name: string, pick: (sample: Sample) => number): Measure => ({
    group: 'memory of an idle VM',
    name,
    unit: 'bytes',
    rounds,
    warmup: 0,
    ours: async round => pick(await mine(round)),
    theirs: async round => pick(await other(round)),
  });
  return {
    measures: [
      measure('resident, with its thread', sample => sample.first.all),
      measure('of that, stack of its thread', sample => sample.first.stacks),
      measure('resident, on a warm pool', sample => sample.again.all),
    ],
    async [Symbol.asyncDispose]() {},
  };
}

// On what a run was measured: processor, caches, kernel, KVM, Node, and how much of the CPUs' time something outside took. Main thread; reads /proc and
// /sys. Never throws for what it finds missing: then it says so.

import { existsSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { textOf } from '../host-facts.ts';
import { probe } from '../probe.ts';
import type { MachineFacts } from './report.ts';

/** Time of all CPUs since boot, in the kernel's ticks. Of use are differences. */
export interface CpuTimes {
  readonly total: number;
  /** Taken by the hypervisor under this machine while a CPU had work to do. */
  readonly stolen: number;
  /** Worked for anybody but this process: other programs, its own children, the kernel's threads. */
  readonly others: number;
}

/** USER_HZ is 100 on this architecture, whatever the kernel's own rate is. */
const TICK_MICROSECONDS = 10_000;

/** The first line of /proc/stat, and what of it was this process; zeros where there is none. */
export function cpuTimes(stat = textOf('/proc/stat'), ownTicks = ownTime()): CpuTimes {
  const fields = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number);
  // user nice system idle iowait irq softirq steal; what follows is counted in user and nice as well.
  const used = Array.from({ length: 8 }, (_, index) => fields[index] || 0);
  const [, , , idle = 0, waiting = 0, , , stolen = 0] = used;
  const total = used.reduce((sum, ticks) => sum + ticks, 0);
  return { total, stolen, others: total - idle - waiting - stolen - ownTicks };
}

function ownTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / TICK_MICROSECONDS;
}

/** The share of the CPUs' time between two readings that was stolen, or that others worked, 0 to 1. */
export function shareOf(what: 'stolen' | 'others', before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  return total <= 0 ? 0 : Math.min(1, Math.max(0, (after[what] - before[what]) / total));
}

/** Of the last minute. */
export function currentLoad(): number {
  return loadavg()[0] ?? 0;
}

/** The CPUs that this process may run on, ascending: what actors can be pinned to. */
export function allowedCpus(status = textOf('/proc/self/status')): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '';
  const allowed = list.split(',').flatMap(range => {
    const [first = '', last = first] = range.split('-');
    if (!/^\d+$/.test(first) || !/^\d+$/.test(last)) return [];
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  });
  return allowed.length > 0 ? allowed : cpus().map((_, index) => index);
}

/**
 * Facts of the machine at the end of a run. `since`, `loadAverage`: {@link cpuTimes} and the load of its start; `pinned`, `clockNs`: as the run has it. Blocks for some milliseconds:
 * it asks KVM what it can.
 */
export function machineFacts({
  since,
  pinned,
  clockNs,
  loadAverage,
}: { readonly since: CpuTimes } & Pick<MachineFacts, 'pinned' | 'clockNs' | 'loadAverage'>): MachineFacts {
  const { kvm } = probe();
  const models = cpus();
  return {
    cpu: models[0]?.model.trim() || 'unknown',
    cpus: models.length,
    pinned,
    caches: cachesOf('/sys/devices/system/cpu/cpu0/cache'),
    memoryBytes: totalmem(),
    kernel: release(),
    kvm: kvm.usable ? kvm.kind : `none: ${kvm.problem ?? 'unknown'}`,
    node: process.version,
    v8: process.versions.v8,
    flags: [...process.execArgv, ...(process.env['NODE_OPTIONS']?.split(' ').filter(Boolean) ?? [])],
    governor: textOf('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor').trim() || 'not visible',
    loadAverage,
    stolen: shareOf('stolen', since, cpuTimes()),
    clockNs,
  };
}

/** 'L1 Data 32K', 'L3 Unified 32M shared by CPUs 0-1'; none where the kernel does not say. */
function cachesOf(folder: string): string[] {
  const caches: string[] = [];
  for (let index = 0; existsSync(`${folder}/index${index}`); index += 1) {
    const fact = (name: string) => textOf(`${folder}/index${index}/${name}`).trim();
    const shared = fact('shared_cpu_list');
    caches.push(
      `L${fact('level')} ${fact('type')} ${fact('size')}${shared.length > 1 ? ` shared by CPUs ${shared}` : ''}`,
    );
  }
  return caches;
}

// The statistics of a run as a table, for people. Main thread. Loaded when it is wanted: the package table takes a while.

import { table } from 'table';
import { histogramQuantile, type VcpuStatsSnapshot } from '../../../shared/vcpu-stats.ts';
import type { VirtualMachine } from '../vm/virtual-machine.ts';

/** Columns are vCPUs, and all together when there are several. */
export function statsTable(vm: VirtualMachine): string {
  const { vcpus, total } = vm.stats();
  const columns: [string, VcpuStatsSnapshot][] = vcpus.map((stats, index) => [`vCPU ${index}`, stats]);
  if (vcpus.length > 1) columns.push(['all', total]);
  const row = (name: string, show: (stats: VcpuStatsSnapshot) => string) => [
    name,
    ...columns.map(([, stats]) => show(stats)),
  ];
  const count = (value: number) => value.toLocaleString('en-US');
  const milliseconds = (ns: number) => `${(ns / 1e6).toFixed(1)} ms`;
  const microseconds = (ns: number) => `${(ns / 1e3).toFixed(1)} µs`;
  const rows = [
    ['', ...columns.map(([name]) => name)],
    row('exits', stats => count(stats.exits)),
    ...Object.keys(total.exitsByReason).map(reason =>
      row(`  ${reason}`, stats => count(stats.exitsByReason[reason] ?? 0)),
    ),
    row('interrupted by a kick', stats => count(stats.interrupted)),
    row('handed to another thread', stats => count(stats.handovers)),
    row('claimed by no device', stats => count(stats.unclaimed)),
    row('time in the guest', stats => milliseconds(stats.guestNs)),
    row('time outside', stats => milliseconds(stats.outsideNs)),
    row('exit handled within, 50 %', stats => microseconds(histogramQuantile(stats.handlingHistogram, 0.5))),
    row('exit handled within, 99 %', stats => microseconds(histogramQuantile(stats.handlingHistogram, 0.99))),
  ];
  const alignment = Object.fromEntries(columns.map((_, index) => [index + 1, { alignment: 'right' as const }]));
  return table(rows, { columns: alignment, drawHorizontalLine: (at, size) => at < 2 || at === size });
}

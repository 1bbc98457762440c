// Everything that the lab can measure, by suite and name: what `--list` prints, scenarios choose from, and a run goes through in this order. Main thread.

import type { Workload } from './workload.ts';
import { accessWorkloads } from './workloads/access.ts';
import { contentionWorkloads } from './workloads/contention.ts';
import { dirtyStorm } from './workloads/dirty-storm.ts';
import { exitStorm } from './workloads/exit-storm.ts';
import { regionChurn } from './workloads/region-churn.ts';
import { ringWorkloads } from './workloads/rings.ts';
import { streamWorkloads } from './workloads/stream.ts';

export const catalog: readonly Workload[] = [
  ...streamWorkloads,
  ...accessWorkloads,
  ...contentionWorkloads,
  ...ringWorkloads,
  dirtyStorm,
  regionChurn,
  exitStorm,
];

/** 'stream/triad' */
export const nameOf = ({ suite, name }: Workload): string => `${suite}/${name}`;

export const workloadNames: readonly string[] = catalog.map(nameOf);
export const suiteNames: readonly string[] = [...new Set(catalog.map(({ suite }) => suite))];

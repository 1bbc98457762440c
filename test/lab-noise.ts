// Pairs of reports of a lab that never was: the same code measured twice, or the second time by a known factor faster, under noise of known kinds.
// Seeded; for the tests of what is called a difference.

import type { Estimate, LabReport, Row } from '../src/main/lab/report.ts';
import { estimate, ratioEstimate } from '../src/main/lab/statistics.ts';

/** Noise as natural logarithms (0.02 = 2 %), standard deviations unless said otherwise. */
export interface Noise {
  readonly name: string;
  /** Of each repetition, of each visit, and of each process (where its code and data lie), independent between the sides. */
  readonly repetition: number;
  readonly visit: number;
  readonly run: number;
  /** The machine's, shared by all that is measured together: a random walk, a step each visit that goes on in the next run; and a trend over a run. */
  readonly walk?: number;
  readonly trend?: number;
  /** With probability `share`, a visit is slower by `by`. */
  readonly mode?: { readonly share: number; readonly by: number };
  /** With probability `share`, a repetition is slower by Pareto's law (its index is 1: no mean). */
  readonly tail?: { readonly share: number; readonly by: number };
}

export const GROUP = 7;

export interface Simulation {
  readonly random: () => number;
  readonly noise: (row: number) => Noise;
  readonly rows: number;
  readonly visits: number;
  readonly repetitions: number;
  /** Whether a row has a baseline. Rows are measured in groups of GROUP. */
  readonly hasBaseline: (row: number) => boolean;
  /** How much faster b is in a row. */
  readonly speedup?: (row: number) => number;
}

/** Two reports. Values are Mops/s: higher is better. */
export function reportPair(simulation: Simulation): [a: LabReport, b: LabReport] {
  const { random, rows, visits, noise } = simulation;
  // What the machine does in each group's time, in both runs.
  const drift = Array.from({ length: Math.ceil(rows / GROUP) }, (_, group) => {
    const { walk = 0, trend = 0 } = noise(group * GROUP);
    let at = 0;
    return Array.from({ length: 2 * visits }, (_, visit) => {
      at += walk * normal(random);
      return at + trend * ((visit % visits) / visits);
    });
  });
  const report = (isSecond: boolean) =>
    reportOf(
      Array.from({ length: rows }, (_, row) => {
        const machine = (drift[Math.floor(row / GROUP)] ?? []).slice(
          isSecond ? visits : 0,
          isSecond ? 2 * visits : visits,
        );
        const factor = isSecond ? (simulation.speedup?.(row) ?? 1) : 1;
        const own = side(simulation, noise(row), machine, 100 * factor);
        const base = simulation.hasBaseline(row) ? side(simulation, noise(row), machine, 120) : undefined;
        return rowOf(`row ${row}`, random, own, base, Math.floor(row / GROUP));
      }),
    );
  return [report(false), report(true)];
}

function side({ random, repetitions }: Simulation, noise: Noise, machine: readonly number[], level: number) {
  const run = noise.run * normal(random);
  return machine.map(slow => {
    const { mode, tail } = noise;
    const visit = noise.visit * normal(random) + (mode !== undefined && random() < mode.share ? mode.by : 0);
    return Array.from({ length: repetitions }, () => {
      const spike = tail !== undefined && random() < tail.share ? Math.log1p(tail.by / (1 - random())) : 0;
      return level * Math.exp(-(run + slow + visit + spike + noise.repetition * normal(random)));
    });
  });
}

/** A number of mean 0 and standard deviation 1 (Box and Muller). */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Few resamples: what is tested here is the rate of many rows, not the interval of one. */
const FEW = { resamples: 120 };

export function rowOf(
  id: string,
  random: () => number,
  own: readonly (readonly number[])[],
  base?: readonly (readonly number[])[],
  group = 0,
): Row {
  const ratio: Estimate | undefined = base && ratioEstimate(own, base, random, FEW);
  return {
    id,
    suite: 'simulated',
    workload: 'none',
    actors: 'js:1',
    count: 1,
    parameters: { group },
    unit: 'Mops/s',
    better: 'higher',
    value: estimate(own, random, FEW),
    ...(base && { baseline: estimate(base, random, FEW) }),
    ...(ratio && { ratio }),
    doubts: [],
  };
}

export function reportOf(rows: readonly Row[]): LabReport {
  return {
    format: 'node-kvm-lab/1',
    version: '0.0.0',
    started: '2026-01-01T00:00:00.000Z',
    seconds: 1,
    seed: 1,
    scenario: {
      name: 'simulated',
      suites: [],
      actors: [],
      sizes: [],
      sources: [],
      seed: 1,
      visits: 10,
      extraVisits: 0,
      repetitions: 5,
      repetitionMs: 10,
      litmusIterations: 1,
      quick: false,
      peers: false,
    },
    machine: {
      cpu: 'none',
      cpus: 2,
      pinned: [0, 1],
      caches: [],
      memoryBytes: 1,
      kernel: 'none',
      kvm: 'none',
      node: 'none',
      v8: 'none',
      flags: [],
      governor: 'none',
      loadAverage: 0,
      stolen: 0,
      clockNs: {},
    },
    rows,
    litmus: [],
    failures: [],
    skipped: [],
    interrupted: false,
  };
}

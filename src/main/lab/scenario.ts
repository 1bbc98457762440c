// What is to be measured, as data: a scenario is JSON, so that a sweep can be repeated. Types; schema and defaults are in scenario-schema.ts.

import type { ActorMix } from './report.ts';

/** A scenario as its user writes it. Everything has a default; unknown keys are errors. */
export interface ScenarioInput {
  /** Shown in reports. */
  readonly name?: string;
  /** Suites or single workloads ('stream', 'stream/triad', 'litmus/SB'). Default: all that the machine can run. */
  readonly suites?: readonly string[];
  /** Default: a choice for the machine: each kind alone with 1 to as many actors as there are CPUs, and guest:1+js:1. */
  readonly actors?: readonly ActorMix[];
  /** Sizes of the data, all arrays of a workload together: bytes or '64K', '32M', '1G'; 16K to 3056M. Actors share them out. */
  readonly sizes?: readonly (number | string)[];
  /** Sources for the dirty suites. */
  readonly sources?: readonly ('bitmap' | 'ring' | 'pagemap' | 'host')[];
  /** 1 to 2^32 - 1. Default: random, and printed. */
  readonly seed?: number;
  /** Visits that each variant gets, 5 to 1000. */
  readonly visits?: number;
  /** So many more for each variant of a group, 0 to 1000, all of them for those that are known to more than ± 10 % only. */
  readonly extraVisits?: number;
  /** Repetitions per visit, 1 to 1000, and how long one should take, 0.1 to 1000 ms. */
  readonly repetitions?: number;
  readonly repetitionMs?: number;
  /** Iterations per litmus test and mix. */
  readonly litmusIterations?: number;
  /** Few visits: the whole default scenario in less than 40 s. */
  readonly quick?: boolean;
  /** Measure installed peers too. Default true. */
  readonly peers?: boolean;
}

/** With all defaults filled in; sizes in bytes. */
export interface Scenario extends Required<Omit<ScenarioInput, 'sizes'>> {
  readonly sizes: readonly number[];
}

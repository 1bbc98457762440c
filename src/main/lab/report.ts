// What a run of the lab yields, as data: the JSON that `node-kvm bench --json` writes, `--compare` and the HTML report read, and
// `runBenchmark()` returns. Types only.

import type { ErrorCode } from '../../../shared/errors.ts';
import type { Scenario } from './scenario.ts';

export type ActorKind = 'js' | 'wasm' | 'guest' | 'c';

/** How many actors of each kind work at once, as text: 'js:2', 'guest:1+js:1'. */
export type ActorMix = string;

export type Unit = 'GB/s' | 'ns' | 'us' | 'Mops/s' | 'pages/s';

/** An interval that holds the true value with 95 % confidence (bootstrap over visits). */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Repetitions of one variant. */
export interface Estimate {
  readonly median: number;
  readonly interval: Interval;
  /** Coefficient of variation of the visits' medians: standard deviation / mean. */
  readonly variation: number;
  /** What was measured: one array per visit, its repetitions in order. */
  readonly visits: readonly (readonly number[])[];
  /** Repetitions that are further than 3 * 1.4826 MAD from the median. They are counted and kept: medians don't mind. */
  readonly outliers: number;
}

export interface Latency {
  readonly unit: 'ns';
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** Pairs (upper bound in ns, samples up to it and above the one before), ascending, without empty ones. */
  readonly histogram: readonly (readonly [number, number])[];
}

/** A value over time (dirty rate). */
export interface Series {
  readonly name: string;
  readonly unit: string;
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

/** What is measured, by whom, and how its figure is to be read. */
export interface Measured {
  readonly suite: string;
  readonly workload: string;
  readonly actors: ActorMix;
  /** Number of actors. */
  readonly count: number;
  readonly parameters: Readonly<Record<string, string | number>>;
  readonly unit: Unit;
  readonly better: 'higher' | 'lower';
}

export interface Row extends Measured {
  /** Names the variant: the same in every run with it. `${suite}/${workload}/${actors}/${parameters}` */
  readonly id: string;
  readonly value: Estimate;
  /** The same number of C threads, in the same rounds; absent where C has no such thing. */
  readonly baseline?: Estimate;
  /** value / baseline, taken visit by visit. */
  readonly ratio?: Estimate;
  /** Other implementations, installed here, in the same rounds: name → estimate. */
  readonly peers?: Readonly<Record<string, Estimate>>;
  readonly latency?: Latency;
  readonly series?: readonly Series[];
  /** Why the figure is not to be trusted: too much variation, stolen time, never stable. Empty: nothing speaks against it. */
  readonly doubts: readonly string[];
}

export interface LitmusRow {
  readonly id: string;
  /** SB, MP, … */
  readonly test: string;
  /** Who runs each thread of the test: 'guest', 'js', 'wasm', 'c'. */
  readonly actors: readonly ActorKind[];
  readonly access: 'plain' | 'atomic' | 'mixed-size';
  readonly iterations: number;
  readonly seconds: number;
  /** Every outcome that was seen or that the model speaks of. */
  readonly outcomes: readonly {
    /** 'r0=0 r1=0' */
    readonly text: string;
    readonly count: number;
    readonly allowed: boolean;
    /** The relaxed one that the test is about. */
    readonly isTarget: boolean;
  }[];
  /** Why the target is allowed or forbidden, with its source. */
  readonly reason: string;
  /** A forbidden outcome was seen. */
  readonly failed: boolean;
}

export interface MachineFacts {
  readonly cpu: string;
  readonly cpus: number;
  /** The CPUs that actors are pinned to. */
  readonly pinned: readonly number[];
  readonly caches: readonly string[];
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Kind of KVM, or why there is none. */
  readonly kvm: string;
  readonly node: string;
  readonly v8: string;
  readonly flags: readonly string[];
  readonly governor: string;
  /** Of the last minute at the end of the run: its own actors are in it. */
  readonly loadAverage: number;
  /** Share of CPU time that the hypervisor under us took during the run, 0 to 1. */
  readonly stolen: number;
  /** Subtracted from every repetition: what taking the time costs, ns, by actor kind. */
  readonly clockNs: Readonly<Partial<Record<ActorKind, number>>>;
}

/** What broke in the middle of the run, which went on without it and with new actors. */
export interface Failure {
  /** 'stream/triad', 'litmus/SB'. */
  readonly workload: string;
  /** The mixes of actors that were measured together; of a litmus test, who ran its threads: 'guest+js'. */
  readonly actors: readonly string[];
  /** Ids of the rows that are missing for it: all of the group's. None: it broke when its actors were closed. */
  readonly rows: readonly string[];
  /** Id of the row that was measured last when it broke. */
  readonly during: string;
  /** `ERR_LAB_RESULT`: a wrong result; `ERR_LAB_ACTOR`: an actor died or hung; or what KVM and memory throw. */
  readonly code: ErrorCode;
  readonly message: string;
}

export interface LabReport {
  readonly format: 'node-kvm-lab/1';
  readonly version: string;
  /** ISO 8601. */
  readonly started: string;
  readonly seconds: number;
  readonly seed: number;
  readonly scenario: Scenario;
  readonly machine: MachineFacts;
  readonly rows: readonly Row[];
  readonly litmus: readonly LitmusRow[];
  /** In the order in which they happened. Empty: everything that was to be measured was, or was skipped, or the run was interrupted. */
  readonly failures: readonly Failure[];
  readonly skipped: readonly { readonly what: string; readonly reason: string }[];
  /** The run ended early (Ctrl-C, signal, too many failures): rows are those that were measured until then. */
  readonly interrupted: boolean;
}

// What a workload is to the engine that measures it (measure.ts), and what it has to work with. Types only.

import type { LabKernel } from '../../../shared/lab/kernels.ts';
import type { ActorKind, Latency, Measured, Series } from './report.ts';
import type { Scenario } from './scenario.ts';

/** One actor of a team: 'the second JavaScript thread'. */
export interface ActorId {
  readonly kind: ActorKind;
  readonly index: number;
}

/** What one actor is to do in a repetition. */
export interface Order {
  readonly actor: ActorId;
  readonly kernel: LabKernel;
  /** By position, as shared/lab/kernels.ts lists them. */
  readonly params: readonly number[];
  /** CPU to be pinned to. */
  readonly cpu?: number;
}

export interface ActorResult {
  /** Time within the kernel, nanoseconds, clock overhead subtracted. */
  readonly ns: number;
  /**
   * When it began, nanoseconds after some moment that all results of the repetition share. A guest among threads begins up to an exit's time
   * (some 10 µs) earlier than said: its own clock is another one, and its end is known by when it came to its gate.
   */
  readonly startNs: number;
  /** Operations, as the kernel counts them. */
  readonly ops: number;
  /** The kernel's results (LAB_RESULT.VALUES); the first is `ops`. */
  readonly values: readonly bigint[];
}

/** The arena and the threads on it (actor-team.ts). Main thread. */
export interface Team extends AsyncDisposable {
  /** The arena: offsets in orders are offsets in it. */
  readonly buffer: SharedArrayBuffer;
  /** Where the data lie in it. */
  readonly data: { readonly at: number; readonly bytes: number };
  readonly counts: Readonly<Record<ActorKind, number>>;
  readonly clockNs: Readonly<Partial<Record<ActorKind, number>>>;
  /**
   * One repetition: all ordered actors start together; resolves when all are done, results in the order of the orders.
   * @throws `ERR_LAB_ACTOR` when an actor died or did not end within 60 s; the team is then of no use any more
   */
  run(orders: readonly Order[]): Promise<readonly ActorResult[]>;
}

/** A repetition's figure, and what else it saw. */
export interface Sample {
  readonly value: number;
  /** Single latencies in nanoseconds, where the workload has them. */
  readonly latenciesNs?: ArrayLike<number>;
}

/** A variant made ready: memory laid out, actors named. */
export interface OpenVariant extends AsyncDisposable {
  /** `scale` ≥ 1 multiplies the work, so that a repetition takes as long as asked for. Throws `ERR_LAB_RESULT` when the result is wrong. */
  repeat(scale: number): Promise<Sample>;
  /** How long the last repetition took, ns: what `scale` is found by. */
  readonly lastNs: number;
  /** Over the whole run, where the workload has them. */
  readonly series?: readonly Series[];
  readonly latency?: Latency;
}

/** One row to be. */
export interface Variant extends Measured {
  /** Not asked to do more work at once than one unit: latencies, storms. */
  readonly fixedScale?: boolean;
  /** Of another implementation alone, a process of its own: asked before open(). False: it does not work here, and context.skip() has said why. */
  peerWorks?(): Promise<boolean>;
  open(): Promise<OpenVariant>;
  /** The same with C threads; undefined where C has no such thing. */
  openBaseline?(): Promise<OpenVariant>;
  /** Other implementations: name → opener. Undefined: it does not work here after all, and context.skip() has said why. */
  readonly peers?: Readonly<Record<string, () => Promise<OpenVariant | undefined>>>;
}

/** What variants are made from. */
export interface LabContext {
  readonly scenario: Scenario;
  readonly hasKvm: boolean;
  /** CPUs to pin to. */
  readonly cpus: readonly number[];
  /** The team that all simple workloads share; opened with the first use. */
  team(): Promise<Team>;
  /** To be called for what can't be measured here. */
  skip(what: string, reason: string): void;
}

export interface Workload {
  readonly suite: string;
  readonly name: string;
  /** One line for `--list`. */
  readonly title: string;
  /** What it measures, what limits it, and what it does not say: two to five sentences for docs and reports. */
  readonly model: string;
  readonly kinds: readonly ActorKind[];
  readonly needsKvm?: boolean;
  variants(context: LabContext): Variant[];
}

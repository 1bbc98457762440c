// Makes a Workload of kernels that the actors of the one shared team run: what all such workloads have in common, from a short description of each.
// Main thread; it sleeps while actors work. Also: checking results, and laying out memory that the variants of a group take turns on.

import { HypervisorError } from '../../../../shared/errors.ts';
import { LAB_KERNELS, type LabKernel } from '../../../../shared/lab/kernels.ts';
import { ACTOR_KINDS, actorsOf, baselineActors } from '../actor-mix.ts';
import type { Unit } from '../report.ts';
import type { Scenario } from '../scenario.ts';
import type { ActorId, ActorResult, LabContext, OpenVariant, Team, Variant, Workload } from '../workload.ts';

/** An order without its actor: the first goes to the first of the mix, and so on. */
export interface Task {
  readonly kernel: LabKernel;
  readonly params: readonly number[];
}

/** One variant's work on an open team. */
export interface Job {
  /** Lays out memory for the next repetition and says what each actor is to do; `scale` ≥ 1 multiplies the work. */
  prepare(scale: number): readonly Task[];
  /** The figure of the repetition. Throws `ERR_LAB_RESULT` when the results or the memory are not what the tasks must leave. */
  finish(results: readonly ActorResult[]): number;
}

/** One choice of parameters. */
export interface Case {
  readonly parameters: Readonly<Record<string, string | number>>;
  /** Why so many actors can't do it; undefined: they can. */
  unfit?(count: number): string | undefined;
  open(team: Team, count: number): Job;
}

export interface KernelWorkload {
  readonly suite: string;
  readonly name: string;
  readonly title: string;
  readonly model: string;
  readonly unit: Unit;
  readonly better: 'higher' | 'lower';
  /** Mixes of fewer or more actors have no part in it. Default: from 1 on. */
  readonly countMin?: number;
  readonly countMax?: number;
  cases(scenario: Scenario): readonly Case[];
}

/** The cases of a workload that has one choice of parameters. */
export function single(open: Case['open'], parameters: Case['parameters'] = {}): () => Case[] {
  return () => [{ parameters, open }];
}

/** The workload, for each of the scenario's mixes that it is made for; a C baseline for all that are not C alone. */
export function kernelWorkload(description: KernelWorkload): Workload {
  const { suite, name, title, model } = description;
  return {
    suite,
    name,
    title,
    model,
    kinds: ACTOR_KINDS,
    variants: context => context.scenario.actors.flatMap(mix => variantsOf(description, context, mix)),
  };
}

function variantsOf(description: KernelWorkload, context: LabContext, mix: string): Variant[] {
  const { suite, name, unit, better, countMin = 1, countMax = Number.POSITIVE_INFINITY } = description;
  const actors = actorsOf(mix);
  const count = actors.length;
  if (count < countMin || count > countMax) return [];
  const variants: Variant[] = [];
  for (const choice of description.cases(context.scenario)) {
    const unfit = choice.unfit?.(count);
    if (unfit !== undefined) {
      context.skip(`${suite}/${name}/${mix}`, unfit);
      continue;
    }
    const open = async (who: readonly ActorId[]) => {
      const team = await context.team();
      return openJob(team, who, context.cpus, choice.open(team, count));
    };
    variants.push({
      suite,
      workload: name,
      actors: mix,
      count,
      parameters: choice.parameters,
      unit,
      better,
      open: () => open(actors),
      ...(actors.every(({ kind }) => kind === 'c') ? {} : { openBaseline: () => open(baselineActors(count)) }),
    });
  }
  return variants;
}

function openJob(team: Team, actors: readonly ActorId[], cpus: readonly number[], job: Job): OpenVariant {
  let lastNs = 0;
  return {
    get lastNs() {
      return lastNs;
    },
    async repeat(scale) {
      const tasks = job.prepare(scale);
      const orders = actors.map((actor, rank) => {
        const task = tasks[rank];
        if (task === undefined) throw new RangeError(`a job gave ${tasks.length} tasks to ${actors.length} actors`);
        const cpu = cpus[rank % cpus.length];
        return { actor, ...task, ...(cpu === undefined ? {} : { cpu }) };
      });
      const results = await team.run(orders);
      lastNs = spanNs(results);
      return { value: job.finish(results) };
    },
    // The team is everybody's; its owner closes it.
    async [Symbol.asyncDispose]() {},
  };
}

/**
 * From the first actor's start to the last one's end, ns: of actors that were held up, and then worked one after the other, nobody may say that they
 * were as fast together as alone. At least 1, so that it can be divided by.
 */
export function spanNs(results: readonly ActorResult[]): number {
  const start = Math.min(...results.map(({ startNs }) => startNs));
  return Math.max(1, ...results.map(({ startNs, ns }) => startNs + ns - start));
}

/** Operations of all actors per second, in millions. */
export function rateMops(results: readonly ActorResult[]): number {
  return (results.reduce((sum, { ops }) => sum + ops, 0) * 1e3) / spanNs(results);
}

/** Throws `ERR_LAB_RESULT` unless both are the same. */
export function expectResult(what: string, actual: bigint | number, expected: bigint | number): void {
  if (BigInt(actual) !== BigInt(expected))
    throw new HypervisorError('ERR_LAB_RESULT', `${what} is ${actual} and must be ${expected}`, {
      info: { what, actual, expected },
    });
}

/** Throws `ERR_LAB_RESULT` unless each actor did as many operations as it was told to. */
export function expectOps(kernel: LabKernel, results: readonly ActorResult[], expected: readonly number[]): void {
  for (const [rank, { ops }] of results.entries())
    expectResult(`kernel ${kernel} (${LAB_KERNELS[kernel]}), actor ${rank}: operations`, ops, expected[rank] ?? 0);
}

/** A 64-bit result of a kernel, by its place in LAB_RESULT.VALUES. */
export function resultAt(result: ActorResult | undefined, place: number): bigint {
  return BigInt.asUintN(64, result?.values[place] ?? 0n);
}

/** What lies in an arena's data, by a name that its owner gives it. */
const layouts = new WeakMap<SharedArrayBuffer, string>();

/** Lays out the arena's data unless what lies there bears this name already: variants of a group share what they don't change. */
export function layOutOnce(team: Team, name: string, lay: () => void): void {
  if (layouts.get(team.buffer) === name) return;
  layouts.delete(team.buffer);
  lay();
  layouts.set(team.buffer, name);
}

/** What lies there is of no further use: somebody wrote to it. */
export function forgetLayout(team: Team): void {
  layouts.delete(team.buffer);
}

/** Part `rank` of `total` units that `count` actors share: from, to (exclusive). */
export function share(total: number, count: number, rank: number): { readonly first: number; readonly end: number } {
  return { first: Math.floor((total * rank) / count), end: Math.floor((total * (rank + 1)) / count) };
}

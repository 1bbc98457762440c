// Runs a scenario: chooses workloads and litmus tests, measures them group by group, and makes the report. Main thread; it sleeps while actors work.
// What is measured and how is elsewhere: catalog.ts, measure.ts, litmus/. Writes nothing but what its hooks are told.

import { freemem } from 'node:os';
import packageJson from '../../../package.json' with { type: 'json' };
import { refuseUnknownKeys } from '../../../shared/errors.ts';
import { KIB } from '../../../shared/units.ts';
import { probe } from '../probe.ts';
import { teamCounts } from './actor-mix.ts';
import { openTeam } from './actor-team.ts';
import { catalog, nameOf } from './catalog.ts';
import { LITMUS_BYTES } from './litmus/batch.ts';
import { type LitmusCase, litmusCases, litmusCounts } from './litmus/cases.ts';
import { runLitmus } from './litmus/run-litmus.ts';
import { allowedCpus, cpuTimes, machineFacts } from './machine-facts.ts';
import { measureGroup } from './measure.ts';
import type { LabReport, LitmusRow, Row } from './report.ts';
import type { Scenario, ScenarioInput } from './scenario.ts';
import { checkScenario } from './scenario-schema.ts';
import type { LabContext, Team, Variant } from './workload.ts';

export interface BenchmarkHooks {
  /** Before each piece of work: the share of the whole run that is done, 0 to 1, and the id of what comes now. */
  readonly onProgress?: (share: number, what: string) => void;
  /** As soon as the group that it belongs to is measured. */
  readonly onRow?: (row: Row) => void;
  readonly onLitmus?: (row: LitmusRow) => void;
  /** Ends the run after the repetition under way; the report has what was measured until then. */
  readonly signal?: AbortSignal;
}

const HOOKS = ['onProgress', 'onRow', 'onLitmus', 'signal'];
/** Words that actors fight for and queues take no size from the scenario. */
const DATA_MIN = 64 * KIB;
/** Of the memory that is free now, so much may be used: the rest of the process and of the machine needs some. */
const MEMORY_SHARE = 0.8;
/** What a group's warm-up takes, in visits. */
const WARM_UP_VISITS = 3;
/** For the share that is done only. */
const LITMUS_PER_SECOND = 1e6;

/**
 * Measures what a scenario asks for. Everything has a default: `runBenchmark({})` measures what the machine can run, for some minutes;
 * `{ quick: true }` for less than one. Blocks no thread but those of its actors, which keep their CPUs busy. Litmus rows with `failed` do not
 * make it reject.
 * @throws `ERR_LAB_SCENARIO`, `ERR_KVM_UNAVAILABLE` before anything is started; `ERR_LAB_RESULT` when a workload's result is wrong; `ERR_LAB_ACTOR`
 *   when an actor dies; `ERR_UNKNOWN_OPTION` for a hook that is none
 */
export async function runBenchmark(input: ScenarioInput, hooks: BenchmarkHooks = {}): Promise<LabReport> {
  refuseUnknownKeys(hooks, HOOKS, 'runBenchmark');
  const { kvm } = probe();
  const cpus = allowedCpus();
  const memoryBytes = Math.floor(freemem() * MEMORY_SHARE);
  const scenario = checkScenario(input, { cpus: cpus.length, hasKvm: kvm.usable, memoryBytes });
  const run = new Run(scenario, cpus, kvm.usable ? undefined : (kvm.problem ?? 'KVM cannot be used'), hooks);
  return run.all();
}

/** Variants that are measured together: one workload with one choice of parameters, by all mixes of actors. */
interface Group {
  readonly name: string;
  readonly variants: readonly Variant[];
}

class Run {
  readonly #scenario: Scenario;
  readonly #cpus: readonly number[];
  /** Why there are no guests; undefined: there are. */
  readonly #noKvm: string | undefined;
  readonly #hooks: BenchmarkHooks;
  readonly #skipped = new Map<string, string>();
  readonly #rows: Row[] = [];
  readonly #litmus: LitmusRow[] = [];
  #team: Promise<Team> | undefined;
  #clockNs: Team['clockNs'] = {};
  /** Estimated seconds: of what is done, and of all. */
  #done = 0;
  #total = 0;

  constructor(scenario: Scenario, cpus: readonly number[], noKvm: string | undefined, hooks: BenchmarkHooks) {
    this.#scenario = scenario;
    this.#cpus = cpus;
    this.#noKvm = noKvm;
    this.#hooks = hooks;
  }

  async all(): Promise<LabReport> {
    const started = new Date();
    const begin = performance.now();
    const since = cpuTimes();
    const groups = this.#groups();
    const litmus = litmusCases(this.#scenario);
    const litmusSeconds = this.#scenario.litmusIterations / LITMUS_PER_SECOND;
    this.#total = groups.reduce((sum, group) => sum + this.#secondsOf(group), litmus.length * litmusSeconds);
    try {
      for (const group of groups) await this.#measure(group);
    } finally {
      await this.#closeTeam();
    }
    if (litmus.length > 0) await this.#observe(litmus, litmusSeconds);
    this.#hooks.onProgress?.(1, 'report');
    return {
      format: 'node-kvm-lab/1',
      version: packageJson.version,
      started: started.toISOString(),
      seconds: (performance.now() - begin) / 1e3,
      seed: this.#scenario.seed,
      scenario: this.#scenario,
      machine: machineFacts({ since, pinned: this.#cpus, clockNs: this.#clockNs }),
      rows: this.#rows,
      litmus: this.#litmus,
      skipped: [...this.#skipped].map(([what, reason]) => ({ what, reason })),
      interrupted: this.#isOver(),
    };
  }

  #isOver(): boolean {
    return this.#hooks.signal?.aborted === true;
  }

  /** What the scenario chose of the catalog, in the catalog's order. */
  #groups(): Group[] {
    const context = this.#context();
    if (this.#noKvm !== undefined) context.skip('guests', this.#noKvm);
    const { suites, actors } = this.#scenario;
    const chosen = catalog.filter(each => suites.includes(each.suite) || suites.includes(nameOf(each)));
    return chosen.flatMap(workload => {
      const name = nameOf(workload);
      if (workload.needsKvm && this.#noKvm !== undefined) {
        context.skip(name, this.#noKvm);
        return [];
      }
      const variants = workload.variants(context);
      const told = [...this.#skipped.keys()].some(what => what.startsWith(name));
      if (variants.length === 0 && !told) context.skip(name, `not for any of the actors ${actors.join(', ')}`);
      return groupsOf(name, variants);
    });
  }

  #context(): LabContext {
    return {
      scenario: this.#scenario,
      hasKvm: this.#noKvm === undefined,
      cpus: this.#cpus,
      team: () => {
        this.#team ??= this.#openTeam();
        return this.#team;
      },
      skip: (what, reason) => this.#skipped.set(what, reason),
    };
  }

  async #openTeam(): Promise<Team> {
    const { actors, sizes } = this.#scenario;
    const team = await openTeam({ bytes: Math.max(DATA_MIN, ...sizes), counts: teamCounts(actors) });
    this.#clockNs = team.clockNs;
    return team;
  }

  async #closeTeam(): Promise<void> {
    // A team that did not open has told so whom it was opened for, and left nothing.
    const team = await this.#team?.catch(() => undefined);
    await team?.[Symbol.asyncDispose]();
  }

  #secondsOf({ variants }: Group): number {
    const { visits, repetitions, repetitionMs } = this.#scenario;
    const sides = variants.reduce(
      (sum, { openBaseline, peers = {} }) => sum + (openBaseline ? 2 : 1) + Object.keys(peers).length,
      0,
    );
    return (sides * (visits + WARM_UP_VISITS) * (repetitions + 1) * repetitionMs) / 1e3;
  }

  /** Tells how far it is; `share` of what takes `seconds`. */
  #progress(share: number, seconds: number, what: string): void {
    this.#hooks.onProgress?.(Math.min(1, (this.#done + share * seconds) / this.#total), what);
  }

  async #measure(group: Group): Promise<void> {
    if (this.#isOver()) return;
    const { signal } = this.#hooks;
    const seconds = this.#secondsOf(group);
    const rows = await measureGroup(group.variants, this.#scenario, {
      progress: (share, what) => this.#progress(share, seconds, what),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#done += seconds;
    for (const row of rows) {
      this.#rows.push(row);
      this.#hooks.onRow?.(row);
    }
  }

  /** Litmus tests have a team of their own: some need more actors of a kind than there are CPUs. */
  async #observe(cases: readonly LitmusCase[], seconds: number): Promise<void> {
    if (this.#isOver()) return;
    const { seed, litmusIterations: iterations } = this.#scenario;
    const { signal } = this.#hooks;
    await using team = await openTeam({ bytes: LITMUS_BYTES, counts: litmusCounts(cases) });
    this.#clockNs = { ...team.clockNs, ...this.#clockNs };
    for (const each of cases) {
      if (this.#isOver()) return;
      this.#progress(0, seconds, each.id);
      const row = await runLitmus(team, each, {
        iterations,
        seed,
        cpus: this.#cpus,
        onProgress: share => this.#progress(share, seconds, each.id),
        ...(signal === undefined ? {} : { signal }),
      });
      this.#done += seconds;
      this.#litmus.push(row);
      this.#hooks.onLitmus?.(row);
    }
  }
}

/** Variants with the same parameters, in the order in which they come first. */
function groupsOf(name: string, variants: readonly Variant[]): Group[] {
  const byParameters = new Map<string, Variant[]>();
  for (const variant of variants) {
    const key = JSON.stringify(variant.parameters);
    byParameters.set(key, [...(byParameters.get(key) ?? []), variant]);
  }
  return [...byParameters.values()].map(together => ({ name, variants: together }));
}

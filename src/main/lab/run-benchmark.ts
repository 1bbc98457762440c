// Runs a scenario: chooses workloads and litmus tests, measures them group by group, and makes the report. Main thread; it sleeps while actors work.
// What is measured and how is elsewhere: catalog.ts, measure.ts, litmus/. A group that breaks is told in the report, and the others are measured with
// new actors. Writes nothing but what its hooks are told.

import { constants } from 'node:os';
import packageJson from '../../../package.json' with { type: 'json' };
import { type HypervisorError, isHypervisorError, refuseUnknownKeys } from '../../../shared/errors.ts';
import { KIB } from '../../../shared/units.ts';
import { probe } from '../probe.ts';
import { teamCounts } from './actor-mix.ts';
import { openTeam, type TeamOptions } from './actor-team.ts';
import { catalog, nameOf } from './catalog.ts';
import { LITMUS_BYTES } from './litmus/batch.ts';
import { LITMUS_SUITE, type LitmusCase, litmusCases, litmusCounts } from './litmus/cases.ts';
import { runLitmus } from './litmus/run-litmus.ts';
import { allowedCpus, cpuTimes, currentLoad, machineFacts } from './machine-facts.ts';
import { measureGroup, rowId } from './measure.ts';
import type { Failure, LabReport, LitmusRow, Row } from './report.ts';
import type { Scenario, ScenarioInput } from './scenario.ts';
import { checkScenario } from './scenario-schema.ts';
import type { LabContext, Team, Variant, Workload } from './workload.ts';

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
/** So many failures end the run: what breaks each time is the machine or the lab, and an actor that hangs takes a minute each time. */
const FAILURES_MAX = 8;

/**
 * Measures what a scenario asks for. Everything has a default: `runBenchmark({})` measures what the machine can run, for some minutes;
 * `{ quick: true }` for less than one. Blocks no thread but those of its actors, which keep their CPUs busy. A wrong result (`ERR_LAB_RESULT`) or an actor
 * that dies (`ERR_LAB_ACTOR`) costs the rows of its group: `failures` has it, and the run goes on. Litmus rows with `failed` do not make it reject.
 * @throws `ERR_LAB_SCENARIO`, `ERR_KVM_UNAVAILABLE` before anything is started; `ERR_UNKNOWN_OPTION` for a hook that is none; what nothing can be
 *   measured after: no memory (`ERR_SYSCALL` with ENOMEM, RangeError)
 */
export function runBenchmark(input: ScenarioInput, hooks: BenchmarkHooks = {}): Promise<LabReport> {
  return runWorkloads({ workloads: catalog, openTeam }, input, hooks);
}

/** What a run is made of: tests put in what breaks. */
export interface LabParts {
  readonly workloads: readonly Workload[];
  readonly openTeam: (options: TeamOptions) => Promise<Team>;
}

/** As {@link runBenchmark}, of these workloads. @internal */
export async function runWorkloads(
  parts: LabParts,
  input: ScenarioInput,
  hooks: BenchmarkHooks = {},
): Promise<LabReport> {
  refuseUnknownKeys(hooks, HOOKS, 'runBenchmark');
  const { kvm } = probe();
  const cpus = allowedCpus();
  const memoryBytes = Math.floor(process.availableMemory() * MEMORY_SHARE);
  const scenario = checkScenario(input, { cpus: cpus.length, hasKvm: kvm.usable, memoryBytes });
  const noKvm = kvm.usable ? undefined : (kvm.problem ?? 'KVM cannot be used');
  return new Run(parts, { scenario, cpus, noKvm, hooks }).all();
}

/** Variants that are measured together: one workload with one choice of parameters, by all mixes of actors. */
interface Group {
  readonly name: string;
  readonly variants: readonly Variant[];
}

/** What fails as a whole: a group, or a litmus test with its actors. */
type Work = Pick<Failure, 'workload' | 'actors' | 'rows'>;

interface RunOptions {
  readonly scenario: Scenario;
  readonly cpus: readonly number[];
  /** Why there are no guests; undefined: there are. */
  readonly noKvm: string | undefined;
  readonly hooks: BenchmarkHooks;
}

/** Others can be measured after it: it is an error of the actors', of a workload's, or of KVM's. Memory that is not there they would miss as well. */
const isOfItsWork = (error: unknown): error is HypervisorError =>
  isHypervisorError(error) && error.errno !== constants.errno.ENOMEM;

class Run {
  readonly #parts: LabParts;
  readonly #scenario: Scenario;
  readonly #cpus: readonly number[];
  readonly #noKvm: string | undefined;
  readonly #hooks: BenchmarkHooks;
  readonly #skipped = new Map<string, string>();
  readonly #rows: Row[] = [];
  readonly #litmus: LitmusRow[] = [];
  readonly #failures: Failure[] = [];
  /** Under way, or done last; and the row that is measured now. */
  #work: Work | undefined;
  #during = '';
  #team: Promise<Team> | undefined;
  #clockNs: Team['clockNs'] = {};
  /** Estimated seconds: of what is done, and of all. */
  #done = 0;
  #total = 0;

  constructor(parts: LabParts, { scenario, cpus, noKvm, hooks }: RunOptions) {
    this.#parts = parts;
    this.#scenario = scenario;
    this.#cpus = cpus;
    this.#noKvm = noKvm;
    this.#hooks = hooks;
  }

  async all(): Promise<LabReport> {
    const started = new Date();
    const begin = performance.now();
    const since = cpuTimes();
    const loadAverage = currentLoad();
    const groups = this.#groups();
    const litmus = litmusCases(this.#scenario);
    const litmusSeconds = this.#scenario.litmusIterations / LITMUS_PER_SECOND;
    this.#total = groups.reduce((sum, group) => sum + this.#secondsOf(group), litmus.length * litmusSeconds);
    try {
      for (const group of groups) await this.#measure(group);
      // Litmus tests have a team of their own: some need more actors of a kind than there are CPUs.
      await this.#closeTeam();
      for (const each of litmus) await this.#observe(each, litmusCounts(litmus), litmusSeconds);
      await this.#closeTeam();
    } catch (error) {
      // What went wrong first is what is told.
      await this.#closeTeam().catch(() => {});
      throw error;
    }
    this.#hooks.onProgress?.(1, 'report');
    return {
      format: 'node-kvm-lab/1',
      version: packageJson.version,
      started: started.toISOString(),
      seconds: (performance.now() - begin) / 1e3,
      seed: this.#scenario.seed,
      scenario: this.#scenario,
      machine: machineFacts({ since, loadAverage, pinned: this.#cpus, clockNs: this.#clockNs }),
      rows: this.#rows,
      litmus: this.#litmus,
      failures: this.#failures,
      skipped: [...this.#skipped].map(([what, reason]) => ({ what, reason })),
      interrupted: this.#isOver(),
    };
  }

  #isOver(): boolean {
    return this.#hooks.signal?.aborted === true || this.#failures.length >= FAILURES_MAX;
  }

  /** What the scenario chose of the catalog, in the catalog's order. */
  #groups(): Group[] {
    const context = this.#context();
    if (this.#noKvm !== undefined) context.skip('guests', this.#noKvm);
    const { suites, actors } = this.#scenario;
    const chosen = this.#parts.workloads.filter(each => suites.includes(each.suite) || suites.includes(nameOf(each)));
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
    const { actors, sizes } = this.#scenario;
    return {
      scenario: this.#scenario,
      hasKvm: this.#noKvm === undefined,
      cpus: this.#cpus,
      team: () => this.#teamOf({ bytes: Math.max(DATA_MIN, ...sizes), counts: teamCounts(actors) }),
      skip: (what, reason) => this.#skipped.set(what, reason),
    };
  }

  /** The one that is open, or else a new one. */
  #teamOf(options: TeamOptions): Promise<Team> {
    this.#team ??= this.#parts.openTeam(options).then(team => {
      this.#clockNs = { ...team.clockNs, ...this.#clockNs };
      return team;
    });
    return this.#team;
  }

  /** Whoever needs a team next gets a new one, whether this one ends as it should or not. */
  async #closeTeam(): Promise<void> {
    // A team that did not open has told so whom it was opened for, and left nothing.
    const team = await this.#team?.catch(() => undefined);
    this.#team = undefined;
    try {
      await team?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#fail(error, []);
    }
  }

  /** Does a piece of work. One that fails is told, and its actors, which may be dead or at anything, are thrown away. */
  async #attempt<T>(work: Work, run: () => Promise<T>): Promise<T | undefined> {
    this.#work = work;
    try {
      return await run();
    } catch (error) {
      this.#fail(error, work.rows);
      await this.#closeTeam();
      return undefined;
    }
  }

  /** `rows`: those that are missing for it. @throws what the run cannot go on after */
  #fail(error: unknown, rows: readonly string[]): void {
    if (this.#work === undefined || !isOfItsWork(error)) throw error;
    const { workload, actors } = this.#work;
    const { code, message } = error;
    this.#failures.push({ workload, actors, rows, during: this.#during, code, message });
  }

  #secondsOf({ variants }: Group): number {
    const { visits, extraVisits, repetitions, repetitionMs } = this.#scenario;
    const sides = variants.reduce(
      (sum, { openBaseline, peers = {} }) => sum + (openBaseline ? 2 : 1) + Object.keys(peers).length,
      0,
    );
    return (sides * (visits + extraVisits + WARM_UP_VISITS) * (repetitions + 1) * repetitionMs) / 1e3;
  }

  /** Tells how far it is; `share` of what takes `seconds`. */
  #progress(share: number, seconds: number, what: string): void {
    this.#during = what;
    this.#hooks.onProgress?.(Math.min(1, (this.#done + share * seconds) / this.#total), what);
  }

  async #measure({ name, variants }: Group): Promise<void> {
    if (this.#isOver()) return;
    const { signal } = this.#hooks;
    const seconds = this.#secondsOf({ name, variants });
    const work = { workload: name, actors: variants.map(({ actors }) => actors), rows: variants.map(rowId) };
    const rows = await this.#attempt(work, () =>
      measureGroup(variants, this.#scenario, {
        progress: (share, what) => this.#progress(share, seconds, what),
        ...(signal === undefined ? {} : { signal }),
      }),
    );
    this.#done += seconds;
    for (const row of rows ?? []) {
      this.#rows.push(row);
      this.#hooks.onRow?.(row);
    }
  }

  async #observe(each: LitmusCase, counts: Team['counts'], seconds: number): Promise<void> {
    if (this.#isOver()) return;
    const { seed, litmusIterations: iterations } = this.#scenario;
    const { signal } = this.#hooks;
    const { id, test, actors } = each;
    const work = { workload: `${LITMUS_SUITE}/${test.name}`, actors: [actors.join('+')], rows: [id] };
    this.#progress(0, seconds, id);
    const row = await this.#attempt(work, async () =>
      runLitmus(await this.#teamOf({ bytes: LITMUS_BYTES, counts }), each, {
        iterations,
        seed,
        cpus: this.#cpus,
        onProgress: share => this.#progress(share, seconds, id),
        ...(signal === undefined ? {} : { signal }),
      }),
    );
    this.#done += seconds;
    if (row === undefined) return;
    this.#litmus.push(row);
    this.#hooks.onLitmus?.(row);
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

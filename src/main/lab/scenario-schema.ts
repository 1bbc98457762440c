// What a scenario may say: its JSON schema, what no schema can check (actors, sizes and suites against this machine), and the defaults. Main
// thread; reads /proc/meminfo, opens nothing. A scenario is checked as a whole before anything is started.

import { randomInt } from 'node:crypto';
import { inspect } from 'node:util';
import { Ajv, type ErrorObject } from 'ajv';
import { HypervisorError } from '../../../shared/errors.ts';
import { LAB_ACTORS_MAX, LAB_LAYOUT } from '../../../shared/lab/control.ts';
import { GIB, KIB, MIB } from '../../../shared/units.ts';
import { ACTOR_KINDS, actorsOf, defaultMixes, teamCounts } from './actor-mix.ts';
import { listedNames, suiteNames } from './catalog.ts';
import type { Scenario, ScenarioInput } from './scenario.ts';

/** What of the machine a scenario is checked against. */
export interface LabHost {
  /** CPUs that actors may be pinned to. */
  readonly cpus: number;
  readonly hasKvm: boolean;
  /** What of it can still be used, bytes. */
  readonly memoryBytes: number;
}

/** Sizes of the data, bytes: each of 32 actors has some lines of each of three arrays; a guest has its RAM in one piece below 3 GiB. */
export const SIZE_MIN = 16 * KIB;
export const SIZE_MAX = 3 * GIB - LAB_LAYOUT.DATA - LAB_LAYOUT.TAIL;

/** JSON Schema (draft 7) of {@link ScenarioInput}. */
export const scenarioSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'node-kvm bench scenario',
  type: 'object',
  additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 200 },
    suites: { type: 'array', minItems: 1, items: { type: 'string' } },
    actors: { type: 'array', minItems: 1, maxItems: 64, uniqueItems: true, items: { type: 'string' } },
    sizes: {
      type: 'array',
      minItems: 1,
      maxItems: 32,
      items: { type: ['integer', 'string'], pattern: '^[1-9]\\d{0,9}[KMG]?$' },
    },
    sources: {
      type: 'array',
      minItems: 1,
      uniqueItems: true,
      items: { enum: ['bitmap', 'ring', 'pagemap', 'host'] },
    },
    seed: { type: 'integer', minimum: 1, maximum: 2 ** 32 - 1 },
    visits: { type: 'integer', minimum: 5, maximum: 1000 },
    extraVisits: { type: 'integer', minimum: 0, maximum: 1000 },
    repetitions: { type: 'integer', minimum: 1, maximum: 1000 },
    repetitionMs: { type: 'number', minimum: 0.1, maximum: 1000 },
    litmusIterations: { type: 'integer', minimum: 1000, maximum: 1e9 },
    quick: { type: 'boolean' },
    peers: { type: 'boolean' },
  },
} as const;

const FULL = {
  sizes: ['256K', '64M'],
  visits: 10,
  extraVisits: 12,
  repetitions: 3,
  repetitionMs: 4,
  litmusIterations: 100_000,
};
const QUICK = {
  sizes: ['1M'],
  visits: 5,
  extraVisits: 0,
  repetitions: 2,
  repetitionMs: 0.5,
  litmusIterations: 50_000,
};

const validate = new Ajv({ verbose: true, allowUnionTypes: true }).compile(scenarioSchema);

/**
 * The scenario with all defaults filled in; nothing of it is missing or impossible on this host.
 * @throws `ERR_LAB_SCENARIO` naming path and value; `ERR_KVM_UNAVAILABLE` when it asks for guests and there is no KVM
 */
export function checkScenario(input: unknown, host: LabHost): Scenario {
  if (!validate(input)) throw scenarioError(validate.errors?.[0]);
  // SAFETY: it was just checked against the schema, which says of each key what the type says.
  const asked = input as ScenarioInput;
  const quick = asked.quick ?? false;
  const { sizes, ...sampling } = quick ? QUICK : FULL;
  const actors = asked.actors ?? defaultMixes(host.cpus, host.hasKvm);
  checkActors(actors, host);
  return {
    name: 'node-kvm bench',
    sources: ['bitmap', 'ring', 'pagemap', 'host'],
    seed: randomInt(1, 2 ** 32),
    peers: true,
    ...sampling,
    ...asked,
    suites: checkSuites(asked.suites ?? suiteNames),
    actors,
    sizes: checkSizes(asked.sizes ?? sizes, host),
    quick,
  };
}

function scenarioError(error: ErrorObject | undefined): HypervisorError {
  const path = error?.instancePath === '' ? '' : ` at ${error?.instancePath}`;
  const unknown: unknown = error?.params['additionalProperty'];
  if (typeof unknown === 'string') {
    const known = Object.keys(scenarioSchema.properties).join(', ');
    return new HypervisorError('ERR_LAB_SCENARIO', `scenario has no key '${unknown}' (known: ${known})`);
  }
  const choices: unknown = error?.params['allowedValues'];
  const wanted = Array.isArray(choices) ? `${error?.message}: ${choices.join(', ')}` : error?.message;
  return new HypervisorError('ERR_LAB_SCENARIO', `scenario${path}: ${shown(error?.data)} ${wanted}`);
}

/** A value for a message, not longer than a line; whatever it is: it need not be what JSON can hold. */
function shown(value: unknown): string {
  const text = inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 1, customInspect: false });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function checkSuites(suites: readonly string[]): string[] {
  for (const [index, suite] of suites.entries()) {
    if (!suiteNames.includes(suite) && !listedNames.includes(suite))
      throw new HypervisorError(
        'ERR_LAB_SCENARIO',
        `scenario at /suites/${index}: there is no suite or workload '${suite}' (suites: ${suiteNames.join(', ')})`,
      );
  }
  return [...new Set(suites)];
}

function checkActors(mixes: readonly string[], host: LabHost): void {
  for (const [index, mix] of mixes.entries()) {
    const actors = actorsOf(mix);
    // Actors wait for each other by spinning: two on one CPU would measure the scheduler's time slices.
    if (actors.length > host.cpus)
      throw new HypervisorError(
        'ERR_LAB_SCENARIO',
        `scenario at /actors/${index}: '${mix}' are ${actors.length} actors, each needs a CPU of its own, and there are ${host.cpus} to run on`,
      );
    if (!host.hasKvm && actors.some(({ kind }) => kind === 'guest'))
      throw new HypervisorError(
        'ERR_KVM_UNAVAILABLE',
        `scenario at /actors/${index}: '${mix}' needs KVM, and it cannot be used here (node-kvm doctor says why)`,
      );
  }
  const counts = teamCounts(mixes);
  const total = ACTOR_KINDS.reduce((sum, kind) => sum + counts[kind], 0);
  if (total > LAB_ACTORS_MAX)
    throw new HypervisorError(
      'ERR_LAB_SCENARIO',
      `scenario at /actors: ${mixes.join(', ')} need ${total} actors with their C baselines (${ACTOR_KINDS.map(kind => `${kind}:${counts[kind]}`).join(', ')}), and a team has ${LAB_ACTORS_MAX} at most`,
    );
}

const SIZE_UNITS: Readonly<Record<string, number>> = { K: KIB, M: MIB, G: GIB };

function checkSizes(sizes: readonly (number | string)[], host: LabHost): number[] {
  const inBytes: number[] = [];
  for (const [index, size] of sizes.entries()) {
    const where = `scenario at /sizes/${index}: ${shown(size)}`;
    const bytes = typeof size === 'number' ? size : Number.parseInt(size, 10) * (SIZE_UNITS[size.slice(-1)] ?? 1);
    if (bytes < SIZE_MIN || bytes > SIZE_MAX || bytes % KIB !== 0)
      throw new HypervisorError(
        'ERR_LAB_SCENARIO',
        `${where} is not between ${SIZE_MIN / KIB}K and ${SIZE_MAX / MIB}M, or no multiple of 1K`,
      );
    if (bytes > host.memoryBytes)
      throw new HypervisorError(
        'ERR_LAB_SCENARIO',
        `${where} is more than the ${Math.floor(host.memoryBytes / MIB)}M of memory that are free here`,
      );
    if (inBytes.includes(bytes)) throw new HypervisorError('ERR_LAB_SCENARIO', `${where} is there twice`);
    inBytes.push(bytes);
  }
  return inBytes;
}

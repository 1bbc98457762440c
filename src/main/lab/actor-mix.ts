// Mixes of actors as text, 'guest:1+js:1': reading them, and the choice for a machine. Main thread; pure. The order counts: where actors have
// different duties (the ends of a ring), the first named takes the first duty.

import { HypervisorError } from '../../../shared/errors.ts';
import { LAB_ACTORS_MAX } from '../../../shared/lab/control.ts';
import type { ActorKind, ActorMix } from './report.ts';
import type { ActorId } from './workload.ts';

export const ACTOR_KINDS: readonly ActorKind[] = ['js', 'wasm', 'guest', 'c'];

/** The kinds that stand for themselves; C is what they are held against. */
const MEASURED_KINDS: readonly ActorKind[] = ['js', 'wasm', 'guest'];
/** Of each kind, so that all of them fit into a team with as many C threads beside them. */
const DEFAULT_COUNT_MAX = LAB_ACTORS_MAX / ACTOR_KINDS.length;

/** Each kind once. */
const PART = /^(js|wasm|guest|c):([1-9]\d{0,3})$/;

/**
 * The actors that a mix names, in its order, numbered from 0 on within each kind.
 * @throws `ERR_LAB_SCENARIO` for text that is no mix, a kind that is named twice, and more than 32 actors
 */
export function actorsOf(mix: ActorMix): ActorId[] {
  const actors: ActorId[] = [];
  for (const part of mix.split('+')) {
    const [, name, digits] = PART.exec(part) ?? [];
    const kind = ACTOR_KINDS.find(known => known === name);
    if (kind === undefined)
      throw new HypervisorError(
        'ERR_LAB_SCENARIO',
        `actors '${mix}': '${part}' is not of the form kind:count with the kinds ${ACTOR_KINDS.join(', ')}, as in 'js:2' or 'guest:1+js:1'`,
      );
    if (actors.some(actor => actor.kind === kind))
      throw new HypervisorError('ERR_LAB_SCENARIO', `actors '${mix}' name ${kind} twice`);
    const count = Number(digits);
    if (actors.length + count > LAB_ACTORS_MAX)
      throw new HypervisorError('ERR_LAB_SCENARIO', `actors '${mix}': there can be ${LAB_ACTORS_MAX} actors at most`);
    for (let index = 0; index < count; index += 1) actors.push({ kind, index });
  }
  return actors;
}

/** So many C threads: what a mix of as many actors is held against. */
export function baselineActors(count: number): ActorId[] {
  return Array.from({ length: count }, (_, index) => ({ kind: 'c', index }));
}

/** How many actors of each kind a team needs, so that each of the mixes can work in it, and as many C threads. */
export function teamCounts(mixes: readonly ActorMix[]): Record<ActorKind, number> {
  const counts: Record<ActorKind, number> = { js: 0, wasm: 0, guest: 0, c: 0 };
  for (const mix of mixes) {
    const actors = actorsOf(mix);
    for (const { kind, index } of actors) counts[kind] = Math.max(counts[kind], index + 1);
    counts.c = Math.max(counts.c, actors.length);
  }
  return counts;
}

/** Each kind alone, 1 actor and then twice as many up to the number of CPUs or 8, and a guest with a JavaScript thread. Guests only where there is KVM. */
export function defaultMixes(cpus: number, hasKvm: boolean): ActorMix[] {
  const counts: number[] = [];
  const most = Math.min(cpus, DEFAULT_COUNT_MAX);
  for (let count = 1; count < most; count *= 2) counts.push(count);
  counts.push(most);
  const kinds = MEASURED_KINDS.filter(kind => hasKvm || kind !== 'guest');
  const mixes = kinds.flatMap(kind => counts.map(count => `${kind}:${count}`));
  return hasKvm && most > 1 ? [...mixes, 'guest:1+js:1'] : mixes;
}

// Counts the outcomes of batches and makes the words ready for the next: x and y 0, results to what no test writes. Main thread, while no actor
// runs: the team's results came by way of atomics, so that plain accesses see what the actors wrote.

import {
  fieldsOf,
  LITMUS_PACE_BYTES,
  LITMUS_THREADS_MAX,
  type LitmusField,
  type LitmusTest,
  outcomesOf,
  outcomeText,
} from '../../../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../../../shared/lab/litmus-tests.ts';
import { type Batch, outStride } from './batch.ts';

/** Read back, it says that a thread stored no result. */
const UNWRITTEN = 0xdead_beef;

export class Tally {
  readonly fields: readonly LitmusField[];
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #test: number;
  /** Of the outcomes that outcomesOf(fields) lists, in its order. */
  readonly #counts: Float64Array;
  /** Of all others: values that no thread writes. */
  readonly #strange = new Map<string, number>();

  constructor(test: LitmusTest, buffer: SharedArrayBuffer) {
    this.fields = fieldsOf(test);
    this.#test = LITMUS_TESTS.indexOf(test);
    this.#words = new Uint32Array(buffer);
    this.#counts = new Float64Array(outcomesOf(this.fields).length);
  }

  /** Before a batch. */
  prepare(batch: Batch): void {
    const words = this.#words;
    for (let thread = 0; thread < LITMUS_THREADS_MAX; thread++)
      words[(batch.paceAt + thread * LITMUS_PACE_BYTES) >>> 2] = 0;
    // In the order of addresses, whatever the instances' is: that way the processor fetches ahead.
    for (const { at } of [batch.areas.x, batch.areas.y])
      for (let i = 0, word = at >>> 2; i < batch.count; i++, word += batch.stride >>> 2) words[word] = 0;
    for (const [thread, at] of batch.outAt.entries())
      words.fill(UNWRITTEN, at >>> 2, (at + batch.count * outStride(this.#test, thread)) >>> 2);
  }

  /** After it. */
  count(batch: Batch): void {
    const words = this.#words;
    const places = this.fields.map(field => placeOf(field, batch, this.#test));
    const domains = this.fields.map(({ domain }) => domain);
    for (let i = 0; i < batch.count; i++) {
      let outcome = 0;
      for (let f = 0; f < places.length; f++) {
        const value = words[(places[f]?.(i) ?? 0) >>> 2] ?? 0;
        const index = domains[f]?.indexOf(value) ?? -1;
        outcome = index < 0 ? Number.NaN : outcome * (domains[f]?.length ?? 0) + index;
      }
      if (Number.isNaN(outcome)) this.#countStrange(places.map(place => words[place(i) >>> 2] ?? 0));
      else this.#counts[outcome] = (this.#counts[outcome] ?? 0) + 1;
    }
  }

  /** Every outcome of the domains, then those outside them that were seen. */
  outcomes(): { text: string; count: number; isStrange: boolean }[] {
    const known = outcomesOf(this.fields).map((values, i) => ({
      text: outcomeText(this.fields, values),
      count: this.#counts[i] ?? 0,
      isStrange: false,
    }));
    return [...known, ...[...this.#strange].map(([text, count]) => ({ text, count, isStrange: true }))];
  }

  #countStrange(values: readonly number[]): void {
    const text = outcomeText(this.fields, values);
    this.#strange.set(text, (this.#strange.get(text) ?? 0) + 1);
  }
}

/** Offset of a field's value in the arena, by instance. */
function placeOf({ name, from }: LitmusField, batch: Batch, test: number): (i: number) => number {
  if (from === undefined) return batch.areas[name as 'x' | 'y'].placeOf;
  const at = (batch.outAt[from.thread] ?? 0) + 4 * from.index;
  const stride = outStride(test, from.thread);
  return i => at + i * stride;
}

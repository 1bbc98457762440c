// Tracker and cursors against sets of page numbers: random writes, harvests, commits, aborts, failures, regions that come, go and are
// split, cursors that come and go. A page that a consumer should see and does not is lost; one that it should not see is wrong.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DirtyHarvest } from '../../src/main/memory/dirty-harvest.ts';
import { DirtyTracker } from '../../src/main/memory/dirty-tracker.ts';
import type { Mapping } from '../../src/main/memory/mapping.ts';
import type { OwnedRegion } from '../../src/main/memory/region-list.ts';
import { FakeSource, fakeMapping, PAGE, regionOf } from '../fake-source.ts';

const test = suite('dirty: tracker against a model');

const MAPPINGS = 3;
/** Not a multiple of 64, and more than one word. */
const PAGES = 70;
const CURSORS = 2;

/** A page of a mapping. */
type Cell = `${number}:${number}`;

interface ModelConsumer {
  readonly real: { harvest(): DirtyHarvest };
  readonly pending: Set<Cell>;
  open:
    | { readonly harvest: DirtyHarvest; readonly cells: Set<Cell>; readonly shown: ReadonlyMap<number, Cell> }
    | undefined;
}

class Run {
  readonly #mappings = Array.from({ length: MAPPINGS }, () => fakeMapping(PAGES));
  #regions: readonly OwnedRegion[] = this.#mappings.map((mapping, index) => regionOf(mapping, index * 1000));
  readonly #source = new FakeSource();
  readonly #tracker = new DirtyTracker(
    () => this.#regions,
    () => ({ kind: 'unknown' }),
  );
  /** Recorded, and not collected; then collected of mappings that were gone by then. */
  readonly #recorded = new Set<Cell>();
  readonly #consumers = new Map<number, ModelConsumer>();

  constructor() {
    this.#tracker.enable({ name: 'host', sources: [this.#source] }, {});
    this.#consumers.set(-1, { real: this.#tracker, pending: new Set(), open: undefined });
  }

  write(mapping: number, page: number): void {
    this.#source.write(this.#mappings[mapping] as Mapping, page);
    this.#recorded.add(`${mapping}:${page}`);
  }

  begin(index: number): void {
    const consumer = this.#consumers.get(index);
    if (consumer === undefined || consumer.open !== undefined) return;
    const harvest = consumer.real.harvest();
    this.#collected();
    const shown = this.#shown();
    const mapped = new Set([...shown.values()].map(cell => cell.split(':')[0]));
    const cells = new Set([...consumer.pending].filter(cell => mapped.has(cell.split(':')[0])));
    for (const cell of cells) consumer.pending.delete(cell);
    consumer.open = { harvest, cells, shown };
    this.#check(consumer);
  }

  fail(index: number, afterMappings: number): void {
    const consumer = this.#consumers.get(index);
    if (consumer === undefined || consumer.open !== undefined) return;
    this.#source.fails = 'collect';
    this.#source.afterMappings = afterMappings;
    assert.throws(() => consumer.real.harvest(), /made to fail/);
  }

  end(index: number, commit: boolean): void {
    const consumer = this.#consumers.get(index);
    if (consumer?.open === undefined) return;
    const { harvest, cells, shown } = consumer.open;
    // What others did meanwhile has not changed it.
    this.#check(consumer);
    if (commit) harvest.commit();
    else harvest.abort();
    const addressed = new Set(shown.values());
    for (const cell of cells) if (!commit || !addressed.has(cell)) consumer.pending.add(cell);
    consumer.open = undefined;
  }

  /** Opens the cursor, or disposes of it. */
  cursor(index: number, all: boolean): void {
    const known = this.#consumers.get(index);
    if (known !== undefined) {
      (known.real as unknown as Disposable)[Symbol.dispose]();
      this.#consumers.delete(index);
      return;
    }
    const real = this.#tracker.cursor(`${index}`, all ? 'dirty' : 'clean');
    this.#collected();
    this.#consumers.set(index, { real, pending: new Set(), open: undefined });
    // The model knows 'dirty' as of the first harvest.
    if (all) {
      const consumer = this.#consumers.get(index) as ModelConsumer;
      for (const cell of this.#shown().values()) consumer.pending.add(cell);
      this.begin(index);
    }
  }

  /** The mapping's region is removed whole, comes back, or is two pieces with a hole between them. */
  place(mapping: number, how: 'none' | 'whole' | 'pieces'): void {
    const real = this.#mappings[mapping] as Mapping;
    const at = mapping * 1000;
    const placed = {
      none: [],
      whole: [regionOf(real, at)],
      pieces: [regionOf(real, at, 0, 33), regionOf(real, at + 500, 40, PAGES - 40)],
    }[how];
    const others = this.#regions.filter(region => region.mapping !== real);
    this.#regions = [...others, ...placed].sort((a, b) => a.guestAddr - b.guestAddr);
  }

  /** The source's pages of mappings that are mapped go to every consumer; those of others wait. */
  #collected(): void {
    const mapped = new Set([...this.#shown().values()].map(cell => cell.split(':')[0]));
    for (const cell of [...this.#recorded]) {
      if (!mapped.has(cell.split(':')[0])) continue;
      this.#recorded.delete(cell);
      for (const { pending } of this.#consumers.values()) pending.add(cell);
    }
  }

  /** Guest pages, and what lies there. */
  #shown(): Map<number, Cell> {
    const shown = new Map<number, Cell>();
    for (const { guestAddr, size, offset, mapping } of this.#regions) {
      const index = this.#mappings.indexOf(mapping);
      for (let page = 0; page < size / PAGE; page++)
        shown.set(guestAddr / PAGE + page, `${index}:${offset / PAGE + page}`);
    }
    return shown;
  }

  #check({ open }: ModelConsumer): void {
    if (open === undefined) return;
    const expected = [...open.shown].filter(([, cell]) => open.cells.has(cell)).map(([page]) => page);
    const found: number[] = [];
    const pairs = open.harvest.rangeArray();
    for (let index = 0; index < pairs.length; index += 2) {
      const first = (pairs[index] as number) / PAGE;
      for (let page = 0; page < (pairs[index + 1] as number) / PAGE; page++) found.push(first + page);
    }
    assert.equal(found, expected);
    assert.is(open.harvest.pageCount, expected.length);
  }
}

const mapping = fc.nat(MAPPINGS - 1);
/** -1 is the default consumer. */
const consumer = fc.integer({ min: -1, max: CURSORS - 1 });
const step = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('write' as const), mapping, fc.nat(PAGES - 1)) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('begin' as const), consumer) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('end' as const), consumer, fc.boolean()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('fail' as const), consumer, fc.nat(MAPPINGS)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('cursor' as const), fc.nat(CURSORS - 1), fc.boolean()) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constant('place' as const), mapping, fc.constantFrom('none', 'whole', 'pieces')),
  },
);

test('any sequence of steps', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), steps => {
      const run = new Run();
      for (const [what, ...args] of steps) {
        // SAFETY: each step's arguments are its method's, by construction above.
        (run[what] as (...args: unknown[]) => void)(...args);
      }
    }),
    { numRuns: 300 },
  );
});

test.run();

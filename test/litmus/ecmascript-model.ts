// The ECMAScript memory model (ECMA-262, "Memory Model"), tried out on a litmus test: every choice of what the reads read, and for each every
// order of the events, checked against the specification's rules by name. It knows the operations alone, nothing of what the tables say.
//
// What the coordinator does before and after a batch happens before and after everything: a plain write of 0 to each word, a plain read of each.

import { fieldsOf, halvesOf, type LitmusTest, outcomeText, placeOf } from '../../shared/lab/litmus.ts';

interface Event {
  readonly id: number;
  /** -1: before all threads; threads.length: after them. */
  readonly thread: number;
  readonly name: string;
  readonly seqCst: boolean;
  readonly cells: readonly number[];
  readonly reads: boolean;
  /** What it writes, per cell; undefined when it only reads. */
  readonly writes?: readonly number[];
  /** A compare-and-swap writes only if it read this. */
  readonly expected?: readonly number[];
}

const cellsOf = (at: Parameters<typeof placeOf>[0]) =>
  halvesOf(at, 0).map(([half]) => (placeOf(at).word === 'x' ? 0 : 2) + half);
const valuesOf = (at: Parameters<typeof placeOf>[0], value: number) => halvesOf(at, value).map(([, part]) => part);
const same = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((value, i) => value === b[i]);

/** The events of an execution in which the compare-and-swaps with the given registers succeed. */
function eventsOf(test: LitmusTest, successes: ReadonlySet<string>): Event[] {
  const events: Event[] = [];
  const add = (event: Omit<Event, 'id'>) => events.push({ ...event, id: events.length });
  const words = ['x', 'y'] as const;
  for (const at of words)
    add({ thread: -1, name: `init ${at}`, seqCst: false, cells: cellsOf(at), reads: false, writes: [0, 0] });
  for (const [thread, ops] of test.threads.entries()) {
    for (const op of ops) {
      const common = { thread, seqCst: op.atomic, cells: cellsOf(op.at) };
      if (op.kind === 'store') add({ ...common, name: 'store', reads: false, writes: valuesOf(op.at, op.value) });
      else if (op.kind === 'load') add({ ...common, name: op.to, reads: true });
      else {
        const expected = valuesOf(op.at, op.expected);
        const written = successes.has(op.to) ? { writes: valuesOf(op.at, op.value) } : {};
        add({ ...common, name: op.to, reads: true, expected, ...written });
      }
    }
  }
  for (const at of words)
    add({ thread: test.threads.length, name: at, seqCst: false, cells: cellsOf(at), reads: true });
  return events;
}

/** Whom each reading event reads from, per cell: reads-bytes-from. */
type Choice = ReadonlyMap<Event, readonly Event[]>;

function* product<T>(lists: readonly (readonly T[])[]): Generator<T[]> {
  const [first, ...rest] = lists;
  if (!first) return yield [];
  for (const head of first) for (const tail of product(rest)) yield [head, ...tail];
}

/** happens-before: program order, init first and the coordinator last, synchronizes-with; transitively closed. */
function happensBefore(events: readonly Event[], choice: Choice): boolean[][] {
  const before = events.map(a => events.map(b => a.thread < 0 && b.thread >= 0));
  const set = (a: Event, b: Event) => {
    const row = before[a.id];
    if (row) row[b.id] = true;
  };
  const last = Math.max(...events.map(event => event.thread));
  for (const a of events) {
    for (const b of events) {
      if (a.thread === b.thread && a.thread >= 0 && a.id < b.id) set(a, b);
      if (b.thread === last && a.thread < last) set(a, b);
    }
  }
  for (const [reader, writers] of choice)
    for (const writer of writers) if (synchronizes(writer, reader)) set(writer, reader);
  for (const k of events)
    for (const a of events) for (const b of events) if (before[a.id]?.[k.id] && before[k.id]?.[b.id]) set(a, b);
  return before;
}

const synchronizes = (w: Event, r: Event) => w.seqCst && r.seqCst && same(w.cells, r.cells);

/** "Sequentially Consistent Atomics": whether some order of all events, in keeping with happens-before, satisfies the three rules. */
function hasMemoryOrder(events: readonly Event[], choice: Choice, before: boolean[][]): boolean {
  const hb = (a: Event, b: Event) => before[a.id]?.[b.id] === true;
  const writers = events.filter(event => event.writes && event.seqCst);
  const spoils = (w: Event, v: Event, r: Event) =>
    (synchronizes(w, r) && same(v.cells, r.cells)) ||
    (hb(w, r) && hb(v, r) && w.seqCst && same(w.cells, v.cells)) ||
    (hb(w, r) && hb(w, v) && r.seqCst && same(v.cells, r.cells));
  const forbidden: (readonly [Event, Event, Event])[] = [];
  for (const [r, from] of choice)
    for (const w of new Set(from))
      for (const v of writers) if (v !== w && v !== r && spoils(w, v, r)) forbidden.push([w, v, r]);

  const at: number[] = events.map(() => -1);
  const placed = (event: Event) => at[event.id] ?? -1;
  const extend = (position: number): boolean => {
    if (position === events.length) return true;
    for (const event of events) {
      if (placed(event) >= 0 || events.some(other => placed(other) < 0 && hb(other, event))) continue;
      at[event.id] = position;
      // A rule is broken once its reader comes and the write in between has its place already. The writer happens before the reader.
      const broken = forbidden.some(([w, v, r]) => r === event && placed(v) > placed(w));
      if (!broken && extend(position + 1)) return true;
      at[event.id] = -1;
    }
    return false;
  };
  return extend(0);
}

function isValid(events: readonly Event[], choice: Choice): boolean {
  const before = happensBefore(events, choice);
  const hb = (a: Event, b: Event) => before[a.id]?.[b.id] === true;
  if (events.some(event => hb(event, event))) return false;
  for (const [r, from] of choice) {
    // "Coherent Reads": neither from the future nor what is hidden by a write in between.
    for (const [i, w] of from.entries()) {
      const byte = r.cells[i] ?? -1;
      if (hb(r, w)) return false;
      if (events.some(v => v.writes && v.cells.includes(byte) && hb(w, v) && hb(v, r))) return false;
    }
    // "Tear Free Reads": all accesses here are those of integer typed arrays, whose NoTear is true.
    if (from.some(w => same(w.cells, r.cells) && from.some(v => v !== w && same(v.cells, r.cells)))) return false;
  }
  return hasMemoryOrder(events, choice, before);
}

/** The texts of all outcomes that the specification allows. */
export function ecmascriptOutcomes(test: LitmusTest): Set<string> {
  const fields = fieldsOf(test);
  const outcomes = new Set<string>();
  const swaps = test.threads.flat().flatMap(op => (op.kind === 'cas' ? [op.to] : []));
  for (const picks of product(swaps.map(to => [[], [to]]))) {
    const events = eventsOf(test, new Set(picks.flat()));
    const readers = events.filter(event => event.reads);
    const sources = readers.map(r => [
      ...product(r.cells.map(byte => events.filter(w => w !== r && w.writes && w.cells.includes(byte)))),
    ]);
    for (const picked of product(sources)) {
      const choice: Choice = new Map(readers.map((r, i) => [r, picked[i] ?? []]));
      const read = (r: Event) =>
        (choice.get(r) ?? []).map((w, i) => w.writes?.[w.cells.indexOf(r.cells[i] ?? -1)] ?? 0);
      const honest = readers.every(
        r => r.expected === undefined || same(read(r), r.expected) === (r.writes !== undefined),
      );
      if (!honest || !isValid(events, choice)) continue;
      const values = fields.map(field => {
        const [low = 0, high = 0] = read(readers.find(r => r.name === field.name) ?? failing(field.name));
        return low + high * 0x1_0000;
      });
      outcomes.add(outcomeText(fields, values));
    }
  }
  return outcomes;
}

function failing(name: string): never {
  throw new Error(`no event reads ${name}`);
}

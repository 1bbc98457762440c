// A machine in which every interleaving of a litmus test is tried: sequentially consistent, or x86-TSO as Sewell et al. describe it, with a store
// buffer per thread that holds halves of words. It knows the operations alone, nothing of what the tables say.

import {
  fieldsOf,
  halvesOf,
  type LitmusOp,
  type LitmusTest,
  outcomeText,
  type Place,
  placeOf,
} from '../../shared/lab/litmus.ts';

/** Place of a half in memory: x.low, x.high, y.low, y.high. */
const cell = (at: Place, half: 0 | 1) => (placeOf(at).word === 'x' ? 0 : 2) + half;
const cells = (at: Place) => halvesOf(at, 0).map(([half]) => cell(at, half));

interface Store {
  readonly to: readonly number[];
  readonly values: readonly number[];
}
const storeOf = (at: Place, value: number): Store => ({
  to: cells(at),
  values: halvesOf(at, value).map(([, part]) => part),
});

interface Thread {
  readonly next: number;
  readonly buffer: readonly Store[];
}
interface State {
  readonly memory: readonly number[];
  readonly threads: readonly Thread[];
  readonly registers: Readonly<Record<string, number>>;
}

const applied = (memory: readonly number[], store: Store) =>
  memory.map((value, i) => (store.to.includes(i) ? (store.values[store.to.indexOf(i)] ?? 0) : value));

/** What a thread sees of a place: for each half the newest store in its own buffer, or memory. */
function seen({ memory }: State, buffer: readonly Store[], at: Place): number {
  const view = buffer.reduce(applied, memory);
  return cells(at).reduce((value, i, order) => value + (view[i] ?? 0) * (order === 1 ? 0x1_0000 : 1), 0);
}

/** The state after a thread's next operation, or undefined where a locked one must wait for the thread's own buffer. */
function stepped(state: State, who: number, op: LitmusOp, model: 'sc' | 'tso'): State | undefined {
  const thread = state.threads[who] ?? { next: 0, buffer: [] };
  const locked = op.kind === 'cas' || (op.kind === 'store' && op.atomic);
  if (locked && thread.buffer.length > 0) return undefined;
  const advanced = (buffer = thread.buffer) =>
    state.threads.map((other, i) => (i === who ? { next: thread.next + 1, buffer } : other));

  if (op.kind === 'store') {
    const store = storeOf(op.at, op.value);
    if (locked || model === 'sc') return { ...state, memory: applied(state.memory, store), threads: advanced() };
    return { ...state, threads: advanced([...thread.buffer, store]) };
  }
  const value = seen(state, thread.buffer, op.at);
  const registers = { ...state.registers, [op.to]: value };
  if (op.kind === 'load' || value !== op.expected) return { ...state, registers, threads: advanced() };
  return { memory: applied(state.memory, storeOf(op.at, op.value)), registers, threads: advanced() };
}

/** The texts of all outcomes that the machine can end with. */
export function machineOutcomes(test: LitmusTest, model: 'sc' | 'tso'): Set<string> {
  const fields = fieldsOf(test);
  const outcomes = new Set<string>();
  const visited = new Set<string>();
  const explore = (state: State): void => {
    const key = JSON.stringify(state);
    if (visited.has(key)) return;
    visited.add(key);
    let moved = false;
    for (const [who, thread] of state.threads.entries()) {
      const [oldest, ...younger] = thread.buffer;
      if (oldest) {
        moved = true;
        const threads = state.threads.map((other, i) => (i === who ? { ...thread, buffer: younger } : other));
        explore({ ...state, memory: applied(state.memory, oldest), threads });
      }
      const op = test.threads[who]?.[thread.next];
      const after = op && stepped(state, who, op, model);
      if (after) {
        moved = true;
        explore(after);
      }
    }
    if (moved) return;
    const values = fields.map(({ name, from }) =>
      from === undefined ? seen(state, [], name as 'x' | 'y') : (state.registers[name] ?? 0),
    );
    outcomes.add(outcomeText(fields, values));
  };
  explore({ memory: [0, 0, 0, 0], threads: test.threads.map(() => ({ next: 0, buffer: [] })), registers: {} });
  return outcomes;
}

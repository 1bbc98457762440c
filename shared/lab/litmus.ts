// What a litmus test is, as data, and what follows from the data alone: its outcomes, and which of them a memory model forbids. The tests
// themselves are in litmus-tests.ts, their programs in litmus-code.ts (JavaScript) and litmus-build.ts (C, WebAssembly). Pure.
//
// A test is up to four threads of up to four operations on the words x and y, which are 0 at first. An outcome is what the registers hold afterwards
// and, where a test asks for it, the words. Everything but the allowed outcomes is forbidden: one of them, seen once, is a failure.

/** A word of 32 bits, or one of its halves (little-endian: low at offset 0). */
export type Place = 'x' | 'y' | 'x.low' | 'x.high' | 'y.low' | 'y.high';
export type Register = 'r0' | 'r1' | 'r2' | 'r3';

/** Atomic: `Atomics` in JavaScript, seq_cst in WebAssembly and C, where on x86-64 a store is `xchg`, a load `mov`. Otherwise plain. */
export type LitmusOp =
  | { readonly kind: 'store'; readonly at: Place; readonly value: number; readonly atomic: boolean }
  | { readonly kind: 'load'; readonly at: Place; readonly to: Register; readonly atomic: boolean }
  /** Compare-and-swap on a whole word: `lock cmpxchg`. The register gets what was there. */
  | {
      readonly kind: 'cas';
      readonly at: 'x' | 'y';
      readonly expected: number;
      readonly value: number;
      readonly to: Register;
      readonly atomic: true;
    };

/** 'x86-tso' binds guests and C; 'ecmascript' holds as soon as one thread is JavaScript or WebAssembly. */
export type LitmusModel = 'x86-tso' | 'ecmascript';
export type LitmusAccess = 'plain' | 'atomic' | 'mixed-size';

export interface LitmusTest {
  /** SB, MP, … With the access it names the test. */
  readonly name: string;
  readonly access: LitmusAccess;
  readonly threads: readonly (readonly LitmusOp[])[];
  /** Words that belong to the outcome. */
  readonly finals: readonly ('x' | 'y')[];
  /** The relaxed outcome that the test is about, in full: 'r0=0 r1=0'. */
  readonly target: string;
  /** Patterns: an outcome that agrees with one in all that it names is forbidden. Values that nobody wrote always are. */
  readonly forbidden: Readonly<Record<LitmusModel, readonly string[]>>;
  /** Why the target is allowed or forbidden. */
  readonly reason: Readonly<Record<LitmusModel, string>>;
}

/** One value of an outcome, and where it is found. */
export interface LitmusField {
  readonly name: Register | 'x' | 'y';
  /** The thread whose results have it and at which index; undefined: a final word. */
  readonly from?: { readonly thread: number; readonly index: number };
  /** Every value that can be put together from what the test writes, half by half, ascending. */
  readonly domain: readonly number[];
}

/** Where a place lies: its word, the offset in it in bytes, and its size in bytes. */
export function placeOf(place: Place): { word: 'x' | 'y'; offset: 0 | 2; bytes: 2 | 4 } {
  const word = place.startsWith('x') ? 'x' : 'y';
  if (place === word) return { word, offset: 0, bytes: 4 };
  return { word, offset: place.endsWith('high') ? 2 : 0, bytes: 2 };
}

/** The halves of a word that a place covers, as (half 0 or 1, its value if the place holds `value`). */
export function halvesOf(place: Place, value: number): (readonly [half: 0 | 1, value: number])[] {
  const { offset, bytes } = placeOf(place);
  if (bytes === 2) return [[offset === 0 ? 0 : 1, value]];
  return [
    [0, value & 0xffff],
    [1, value >>> 16],
  ];
}

const ascending = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);

function domainOf(test: Pick<LitmusTest, 'threads'>, place: Place): number[] {
  const { word } = placeOf(place);
  const written: [Set<number>, Set<number>] = [new Set([0]), new Set([0])];
  for (const op of test.threads.flat()) {
    if (op.kind === 'load' || placeOf(op.at).word !== word) continue;
    for (const [half, value] of halvesOf(op.at, op.value)) written[half].add(value);
  }
  let values = [0];
  for (const [half] of halvesOf(place, 0)) {
    const shift = placeOf(place).bytes === 4 && half === 1 ? 0x1_0000 : 1;
    values = values.flatMap(rest => [...written[half]].map(value => rest + value * shift));
  }
  return ascending(values);
}

/** The registers that a thread fills, in the order in which it does: the order of its results. */
export const registersOf = (thread: readonly LitmusOp[]): Register[] =>
  thread.flatMap(op => (op.kind === 'store' ? [] : [op.to]));

/** The parts of an outcome in the order of its text: registers by name, then words. */
export function fieldsOf(test: Pick<LitmusTest, 'threads' | 'finals'>): LitmusField[] {
  const registers = test.threads.flatMap((ops, thread) =>
    ops
      .filter(op => op.kind !== 'store')
      .map((op, index): LitmusField => ({ name: op.to, from: { thread, index }, domain: domainOf(test, op.at) })),
  );
  registers.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [...registers, ...test.finals.map(word => ({ name: word, domain: domainOf(test, word) }))];
}

const printed = (value: number) => (value < 10 ? String(value) : `0x${value.toString(16)}`);

/** 'r0=0 x=0x10001': the text of an outcome whose values are in the order of the fields. */
export const outcomeText = (fields: readonly LitmusField[], values: readonly number[]): string =>
  fields.map((field, i) => `${field.name}=${printed(values[i] ?? 0)}`).join(' ');

/** Every outcome that the domains of the fields give, each as its values; the last field changes fastest. */
export function outcomesOf(fields: readonly LitmusField[]): number[][] {
  return fields.reduce<number[][]>(
    (rows, field) => rows.flatMap(row => field.domain.map(value => [...row, value])),
    [[]],
  );
}

/** Whether the table forbids an outcome of the domain (outcomesOf), given as text. */
export function isForbidden(test: LitmusTest, model: LitmusModel, outcome: string): boolean {
  const parts = outcome.split(' ');
  return test.forbidden[model].some(pattern => pattern.split(' ').every(part => parts.includes(part)));
}

/** The model that holds for a mix of actors. */
export const modelOf = (actors: readonly ('js' | 'wasm' | 'guest' | 'c')[]): LitmusModel =>
  actors.some(kind => kind === 'js' || kind === 'wasm') ? 'ecmascript' : 'x86-tso';

/** A thread's program is named by a number: the test's place in LITMUS_TESTS times this, plus the thread. */
export const LITMUS_THREADS_MAX = 4;

/**
 * The parameters of the kernel `litmus`, u32 each; `at`s are bytes in the arena, multiples of 4. Instance i of a test lies at
 * xAt + ((i * xMul + xOff) & (count - 1)) * stride; y alike.
 */
export const LITMUS_PARAM = {
  PROGRAM: 0,
  /** Instances; a power of two. */
  COUNT: 1,
  X_AT: 2,
  Y_AT: 3,
  /** Bytes; a multiple of 4. */
  STRIDE: 4,
  X_MUL: 5,
  X_OFF: 6,
  Y_MUL: 7,
  Y_OFF: 8,
  /** This thread's registers go here, for each instance as many u32 as it has registers. */
  OUT_AT: 9,
  /** Progress of the threads, u32, LITMUS_PACE_BYTES apart. The coordinator sets them to 0 before a batch. */
  PACE_AT: 10,
  /** How often at most a thread looks whether the others have come to its instance; 0 = it doesn't wait. */
  SPIN: 11,
  /** It waits at instances whose number has none of these bits. */
  PACE_MASK: 12,
  /** Before an instance a thread counts to a random number with no other bits than these. */
  DELAY_MASK: 13,
  /** Of those random numbers (xorshift32); not 0. */
  SEED: 14,
} as const;
export const LITMUS_PACE_BYTES = 128;

// The litmus tests of the lab: operations, outcomes that x86-TSO and the ECMAScript memory model forbid, and why. test/unit/litmus-table.test.ts
// derives the same tables from exhaustive models. Order matters: a test's place numbers its programs. Pure.
//
// Sources. SDM: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A, "Examples Illustrating the Memory-Ordering
// Principles", by section title. TSO: Sewell et al., "x86-TSO", CACM 2010. ECMA-262: the chapter "Memory Model". WebAssembly's threads follow
// the same model as ECMA-262.

import type { LitmusAccess, LitmusOp, LitmusTest, Place, Register } from './litmus.ts';

const store = (at: Place, value: number): LitmusOp => ({ kind: 'store', at, value, atomic: false });
const load = (at: Place, to: Register): LitmusOp => ({ kind: 'load', at, to, atomic: false });
const cas = (at: 'x' | 'y', expected: number, value: number, to: Register): LitmusOp => ({
  kind: 'cas',
  at,
  expected,
  value,
  to,
  atomic: true,
});
const atomic = (op: LitmusOp): LitmusOp => ({ ...op, atomic: true });

const UNORDERED =
  'ECMA-262: plain accesses are Unordered; a read may take any write that does not happen after it and is not hidden by one in between';
const SEQ_CST =
  'ECMA-262, "Sequentially Consistent Atomics": one order of all of them, in which reads see the last write';
const MIXED = 'ECMA-262: atomics order and synchronise only with accesses to exactly the same bytes';
const LIKE = 'SDM, "Neither Loads Nor Stores Are Reordered with Like Operations"';
const LOADS_PASS =
  'SDM, "Loads May Be Reordered with Earlier Stores to Different Locations": the store is still in its buffer';
const LOCKED =
  'SDM, "Locked Instructions Have a Total Order" and "Loads and Stores Are Not Reordered with Locked Instructions"';
const COHERENT = 'TSO: each word has one order of its stores, a thread sees its own at once, and goes along that order';
const ALIGNED = 'SDM, "Guaranteed Atomic Operations": an aligned access of 4 bytes is one';

interface Shape {
  readonly name: string;
  readonly threads: readonly (readonly LitmusOp[])[];
  readonly finals?: readonly ('x' | 'y')[];
  readonly target: string;
}

/** What a model says of a shape: patterns of forbidden outcomes, and the reason for what it says of the target. */
type Verdict = readonly [forbidden: readonly string[], reason: string];

function testOf(shape: Shape, access: LitmusAccess, tso: Verdict, ecmascript: Verdict): LitmusTest {
  const { name, threads, finals = [], target } = shape;
  const forbidden = { 'x86-tso': tso[0], ecmascript: ecmascript[0] };
  return { name, access, threads, finals, target, forbidden, reason: { 'x86-tso': tso[1], ecmascript: ecmascript[1] } };
}

const atomically = (shape: Shape): Shape => ({ ...shape, threads: shape.threads.map(ops => ops.map(atomic)) });

/** A shape with plain accesses, and the same with atomic ones, whose outcomes both models agree on. */
const pair = (shape: Shape, tso: Verdict, ecmascript: Verdict, forbiddenAtomic: readonly string[]): LitmusTest[] => [
  testOf(shape, 'plain', tso, ecmascript),
  testOf(atomically(shape), 'atomic', [forbiddenAtomic, LOCKED], [forbiddenAtomic, SEQ_CST]),
];

const ordering: readonly LitmusTest[] = [
  // Store buffering: both threads miss the other's store.
  ...pair(
    {
      name: 'SB',
      threads: [
        [store('x', 1), load('y', 'r0')],
        [store('y', 1), load('x', 'r1')],
      ],
      target: 'r0=0 r1=0',
    },
    [[], LOADS_PASS],
    [[], UNORDERED],
    ['r0=0 r1=0'],
  ),
  // Message passing: the flag is there, the data is not.
  ...pair(
    {
      name: 'MP',
      threads: [
        [store('x', 1), store('y', 1)],
        [load('y', 'r0'), load('x', 'r1')],
      ],
      target: 'r0=1 r1=0',
    },
    [['r0=1 r1=0'], LIKE],
    [[], UNORDERED],
    ['r0=1 r1=0'],
  ),
  // The same as programs do it: plain data behind an atomic flag.
  testOf(
    {
      name: 'MP+flag',
      threads: [
        [store('x', 1), atomic(store('y', 1))],
        [atomic(load('y', 'r0')), load('x', 'r1')],
      ],
      target: 'r0=1 r1=0',
    },
    'atomic',
    [['r0=1 r1=0'], LIKE],
    [
      ['r0=1 r1=0'],
      'ECMA-262: an atomic read that takes the value of an atomic write synchronises with it; the data was written before that, so 0 is hidden',
    ],
  ),
  // Load buffering: both threads see what the other stores afterwards.
  ...pair(
    {
      name: 'LB',
      threads: [
        [load('x', 'r0'), store('y', 1)],
        [load('y', 'r1'), store('x', 1)],
      ],
      target: 'r0=1 r1=1',
    },
    [['r0=1 r1=1'], 'SDM, "Stores Are Not Reordered With Earlier Loads"'],
    [[], UNORDERED],
    ['r0=1 r1=1'],
  ),
  ...pair(
    {
      name: 'S',
      threads: [
        [store('x', 2), store('y', 1)],
        [load('y', 'r0'), store('x', 1)],
      ],
      finals: ['x'],
      target: 'r0=1 x=2',
    },
    [['x=0', 'r0=1 x=2'], `${LIKE}; "Stores Are Not Reordered With Earlier Loads"`],
    [['x=0'], UNORDERED],
    ['x=0', 'r0=1 x=2'],
  ),
  ...pair(
    {
      name: 'R',
      threads: [
        [store('x', 1), store('y', 1)],
        [store('y', 2), load('x', 'r0')],
      ],
      finals: ['y'],
      target: 'r0=0 y=2',
    },
    [['y=0'], LOADS_PASS],
    [['y=0'], UNORDERED],
    ['y=0', 'r0=0 y=2'],
  ),
  ...pair(
    {
      name: '2+2W',
      threads: [
        [store('x', 1), store('y', 2)],
        [store('y', 1), store('x', 2)],
      ],
      finals: ['x', 'y'],
      target: 'x=1 y=1',
    },
    [['x=0', 'y=0', 'x=1 y=1'], LIKE],
    [['x=0', 'y=0'], UNORDERED],
    ['x=0', 'y=0', 'x=1 y=1'],
  ),
  // Independent reads of independent writes: two readers disagree about which came first.
  ...pair(
    {
      name: 'IRIW',
      threads: [
        [store('x', 1)],
        [store('y', 1)],
        [load('x', 'r0'), load('y', 'r1')],
        [load('y', 'r2'), load('x', 'r3')],
      ],
      target: 'r0=1 r1=0 r2=1 r3=0',
    },
    [['r0=1 r1=0 r2=1 r3=0'], 'SDM, "Stores Are Seen in a Consistent Order by Other Processors"'],
    [[], UNORDERED],
    ['r0=1 r1=0 r2=1 r3=0'],
  ),
];

const coherence: readonly LitmusTest[] = [
  // A second look sees an older value.
  ...pair(
    { name: 'CoRR', threads: [[store('x', 1)], [load('x', 'r0'), load('x', 'r1')]], target: 'r0=1 r1=0' },
    [['r0=1 r1=0'], COHERENT],
    [[], UNORDERED],
    ['r0=1 r1=0'],
  ),
  // The first of two stores of one thread stays.
  ...pair(
    { name: 'CoWW', threads: [[store('x', 1), store('x', 2)], [store('x', 3)]], finals: ['x'], target: 'x=1' },
    [['x=0', 'x=1'], COHERENT],
    [['x=0', 'x=1'], 'ECMA-262, "Coherent Reads": the first store happens before the second, which hides it'],
    ['x=0', 'x=1'],
  ),
  // A thread sees the other's store after its own, and yet its own stays.
  ...pair(
    { name: 'CoWR', threads: [[store('x', 1), load('x', 'r0')], [store('x', 2)]], finals: ['x'], target: 'r0=2 x=1' },
    [['r0=0', 'x=0', 'r0=2 x=1'], COHERENT],
    [['r0=0', 'x=0'], UNORDERED],
    ['r0=0', 'x=0', 'r0=2 x=1'],
  ),
  // A thread overwrites what it read, and yet that stays.
  ...pair(
    { name: 'CoRW', threads: [[load('x', 'r0'), store('x', 1)], [store('x', 2)]], finals: ['x'], target: 'r0=2 x=2' },
    [['r0=1', 'x=0', 'r0=2 x=2'], COHERENT],
    [['r0=1', 'x=0'], UNORDERED],
    ['r0=1', 'x=0', 'r0=2 x=2'],
  ),
];

const ONE_WINS = ['r0=1', 'r1=2', 'x=0', 'r0=0 r1=0', 'r0=2 r1=1', 'r0=0 x=2', 'r1=0 x=1'];

const compareAndSwap: readonly LitmusTest[] = [
  // Both win.
  testOf(
    { name: 'CAS', threads: [[cas('x', 0, 1, 'r0')], [cas('x', 0, 2, 'r1')]], finals: ['x'], target: 'r0=0 r1=0 x=1' },
    'atomic',
    [ONE_WINS, LOCKED],
    [ONE_WINS, SEQ_CST],
  ),
  // Store buffering with compare-and-swap for the stores and plain loads: the lock prefix orders them for a processor, not for a language.
  testOf(
    {
      name: 'SB+CAS',
      threads: [
        [cas('x', 0, 1, 'r0'), load('y', 'r1')],
        [cas('y', 0, 1, 'r2'), load('x', 'r3')],
      ],
      target: 'r0=0 r1=0 r2=0 r3=0',
    },
    'plain',
    [['r0=1', 'r2=1', 'r0=0 r1=0 r2=0 r3=0'], LOCKED],
    [['r0=1', 'r2=1'], UNORDERED],
  ),
];

/** Both halves from different stores, or from a store and the 0 before. */
const TORN = ['r0=1', 'r0=2', 'r0=0x10000', 'r0=0x20000', 'r0=0x10002', 'r0=0x20001'];

const withHalves = (shape: Shape, plain: [Verdict, Verdict], atomics: [Verdict, Verdict]): LitmusTest[] => [
  testOf(shape, 'mixed-size', ...plain),
  testOf({ ...atomically(shape), name: `${shape.name}+atomic` }, 'mixed-size', ...atomics),
];

const mixedSize: readonly LitmusTest[] = [
  // A whole word is stored; one half is there before the other.
  ...withHalves(
    {
      name: 'MP+halves',
      threads: [[store('x', 0x10001)], [load('x.low', 'r0'), load('x.high', 'r1')]],
      target: 'r0=1 r1=0',
    },
    [
      [['r0=1 r1=0'], `${ALIGNED}; ${LIKE}`],
      [[], UNORDERED],
    ],
    [
      [['r0=1 r1=0'], `${ALIGNED}; ${LOCKED}`],
      [[], MIXED],
    ],
  ),
  // Two halves are stored; a look at the word sees the second alone.
  ...withHalves(
    { name: 'W+halves', threads: [[store('x.low', 1), store('x.high', 1)], [load('x', 'r0')]], target: 'r0=0x10000' },
    [
      [['r0=0x10000'], `${ALIGNED}; ${LIKE}`],
      [[], UNORDERED],
    ],
    [
      [['r0=0x10000'], `${ALIGNED}; ${LOCKED}`],
      [[], MIXED],
    ],
  ),
  // Each thread stores a half, then sees the word with its own half alone.
  ...withHalves(
    {
      name: 'SB+halves',
      threads: [
        [store('x.low', 1), load('x', 'r0')],
        [store('x.high', 1), load('x', 'r1')],
      ],
      target: 'r0=1 r1=0x10000',
    },
    [
      [
        ['r0=0', 'r0=0x10000', 'r1=0', 'r1=1'],
        'TSO by bytes: a load takes its own half from the store buffer and the other from memory. Processors that cannot forward a part wait, and never show it',
      ],
      [['r0=0', 'r0=0x10000', 'r1=0', 'r1=1'], UNORDERED],
    ],
    [
      [['r0=0', 'r0=0x10000', 'r1=0', 'r1=1', 'r0=1 r1=0x10000'], LOCKED],
      [['r0=0', 'r0=0x10000', 'r1=0', 'r1=1'], MIXED],
    ],
  ),
  // A word is seen with halves of two stores.
  ...withHalves(
    { name: 'Tear', threads: [[store('x', 0x10001), store('x', 0x20002)], [load('x', 'r0')]], target: 'r0=0x10002' },
    [
      [TORN, ALIGNED],
      [TORN, 'ECMA-262, "Tear Free Reads": integer typed arrays do not tear among accesses to the same bytes'],
    ],
    [
      [TORN, ALIGNED],
      [TORN, 'ECMA-262, "Tear Free Reads"'],
    ],
  ),
];

/** All tests; a test's place, times LITMUS_THREADS_MAX, plus a thread is the number of a program. Append only. */
export const LITMUS_TESTS: readonly LitmusTest[] = [...ordering, ...coherence, ...compareAndSwap, ...mixedSize];

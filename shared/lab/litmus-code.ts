// The programs of the litmus tests as text: one per thread of a test, in JavaScript (compiled by the worker that runs it), C and WebAssembly text
// (written by the build). The three are the same loop with the operations in the middle, so that nothing is interpreted between them. Pure.
//
// The loop, for each instance: find its words, now and then wait for the other threads to come to it (at most `spin` looks, and after that ALONE instances
// without a look: a thread that lost its processor holds nobody up), count to a random number, do the operations, store the registers. LITMUS_PARAM says what the parameters are.

import {
  LITMUS_PACE_BYTES,
  LITMUS_PARAM,
  LITMUS_THREADS_MAX,
  type LitmusOp,
  type Place,
  placeOf,
  registersOf,
} from './litmus.ts';
import { LITMUS_TESTS } from './litmus-tests.ts';

export interface LitmusProgram {
  readonly number: number;
  readonly test: string;
  readonly thread: number;
  /** The threads of the test that it waits for. */
  readonly others: readonly number[];
  readonly ops: readonly LitmusOp[];
}

/** Instances that a thread does without waiting after it has waited in vain. */
const ALONE = 64;

/** All programs, ascending by number. */
export const LITMUS_PROGRAMS: readonly LitmusProgram[] = LITMUS_TESTS.flatMap((test, place) =>
  test.threads.map((ops, thread) => ({
    number: place * LITMUS_THREADS_MAX + thread,
    test: `${test.name}, ${test.access}`,
    thread,
    others: test.threads.map((_ops, other) => other).filter(other => other !== thread),
    ops,
  })),
);

const parameters = Object.entries(LITMUS_PARAM);
/** SPIN → spin, X_AT → xAt */
const camel = (name: string) => name.toLowerCase().replace(/_(.)/g, (_all, letter: string) => letter.toUpperCase());
const lines = (parts: readonly string[]) => parts.join('\n');

// JavaScript ---------------------------------------------------------------------------------------------------------------------

/** The view and index of a place, whose word has the index `x` or `y` in a view of 32-bit words. */
function element(at: Place): readonly [view: string, index: string] {
  const { word, offset, bytes } = placeOf(at);
  return bytes === 4 ? ['i32', word] : ['u16', `2 * ${word} + ${offset / 2}`];
}

function javascriptOp(op: LitmusOp): string {
  const [view, index] = element(op.at);
  if (op.kind === 'cas')
    return `    const ${op.to} = Atomics.compareExchange(${view}, ${index}, ${op.expected}, ${op.value});`;
  if (op.kind === 'store')
    return op.atomic ? `    Atomics.store(${view}, ${index}, ${op.value});` : `    ${view}[${index}] = ${op.value};`;
  return `    const ${op.to} = ${op.atomic ? `Atomics.load(${view}, ${index})` : `${view}[${index}]`};`;
}

/** The body of a function of (i32, u16, p): views of the whole arena, and the parameters (u32). */
export function javascriptOf({ ops, thread, others }: LitmusProgram): string {
  const inWords = (name: string) => (/_AT$|STRIDE/.test(name) ? ' >>> 2' : '');
  const paceAt = (other: number) => `paceAt + ${(other * LITMUS_PACE_BYTES) / 4}`;
  const registers = registersOf(ops);
  return lines([
    ...parameters.map(([name, place]) => `  const ${camel(name)} = p[${place}]${inWords(name)};`),
    '  const mask = count - 1;',
    '  let random = seed | 0, out = outAt, alone = 0;',
    '  for (let i = 0; i < count; i++) {',
    '    const x = xAt + ((Math.imul(i, xMul) + xOff) & mask) * stride;',
    '    const y = yAt + ((Math.imul(i, yMul) + yOff) & mask) * stride;',
    '    if (spin !== 0 && i >= alone && (i & paceMask) === 0) {',
    `      Atomics.store(i32, ${paceAt(thread)}, i + 1);`,
    '      let left = spin;',
    ...others.map(other => `      while (left > 0 && Atomics.load(i32, ${paceAt(other)}) <= i) left--;`),
    `      if (left === 0) alone = i + ${ALONE};`,
    '    }',
    '    random ^= random << 13; random ^= random >>> 17; random ^= random << 5;',
    '    for (let delay = random & delayMask; delay > 0; delay--);',
    ...ops.map(javascriptOp),
    ...registers.map((register, i) => `    i32[out + ${i}] = ${register};`),
    `    out += ${registers.length};`,
    '  }',
  ]);
}

// C ------------------------------------------------------------------------------------------------------------------------------

function cOp(op: LitmusOp): string {
  const { word, offset, bytes } = placeOf(op.at);
  const size = bytes * 8;
  const address = `${word} + ${offset}`;
  if (op.kind === 'cas') return `    const uint32_t ${op.to} = litmus_cas(${address}, ${op.expected}, ${op.value});`;
  const order = op.atomic ? 'atomic' : 'plain';
  if (op.kind === 'store') return `    litmus_${order}_store${size}(${address}, ${op.value});`;
  return `    const uint32_t ${op.to} = litmus_${order}_load${size}(${address});`;
}

function cProgram({ number, test, thread, others, ops }: LitmusProgram): string {
  const registers = registersOf(ops);
  const used = (['x', 'y'] as const).filter(word => ops.some(op => placeOf(op.at).word === word));
  return lines([
    `/* ${test}: thread ${thread} */`,
    `static void litmus_${number}(struct litmus run) {`,
    '  for (uint32_t i = 0; i < run.count; i++) {',
    ...used.map(word => `    uint8_t* const ${word} = litmus_${word}(&run, i);`),
    '    if (litmus_paced(&run, i)) {',
    `      litmus_come(&run, i, ${thread * LITMUS_PACE_BYTES});`,
    '      uint32_t left = run.spin;',
    ...others.map(other => `      left = litmus_wait(&run, i, ${other * LITMUS_PACE_BYTES}, left);`),
    `      if (left == 0) run.alone = i + ${ALONE};`,
    '    }',
    '    litmus_delay(&run);',
    ...ops.map(cOp),
    ...registers.map((register, i) => `    run.out[${i}] = ${register};`),
    `    run.out += ${registers.length};`,
    '  }',
    '}',
  ]);
}

/** What native/lab/litmus.c includes: the programs and their switch. The functions that they call are there. */
export function litmusHeader(): string {
  return `${lines([
    '/* Written by the build from shared/lab/litmus-tests.ts: the litmus programs. Included by litmus.c alone. */',
    '',
    ...LITMUS_PROGRAMS.map(program => `${cProgram(program)}\n`),
    ...parameters.map(([name, place]) => `#define LITMUS_PARAM_${name} ${place}`),
    `#define LITMUS_PACE_ALL_BYTES ${LITMUS_THREADS_MAX * LITMUS_PACE_BYTES}u`,
    '',
    '/* Registers that the program stores per instance; -1: there is no such program. */',
    'static int litmus_registers(uint32_t program) {',
    '  switch (program) {',
    ...LITMUS_PROGRAMS.map(({ number, ops }) => `    case ${number}: return ${registersOf(ops).length};`),
    '    default: return -1;',
    '  }',
    '}',
    '',
    'static void litmus_dispatch(uint32_t program, struct litmus run) {',
    '  switch (program) {',
    ...LITMUS_PROGRAMS.map(({ number }) => `    case ${number}: litmus_${number}(run); break;`),
    '    default: break;',
    '  }',
    '}',
  ])}\n`;
}

// WebAssembly --------------------------------------------------------------------------------------------------------------------

const get = (name: string) => `(local.get $${name})`;
const set = (name: string, value: string) => `(local.set $${name} ${value})`;
const i32 = (op: string, ...operands: readonly string[]) => `(i32.${op} ${operands.join(' ')})`;
const constant = (value: number) => `(i32.const ${value})`;

function wasmOp(op: LitmusOp): string {
  const { word, offset, bytes } = placeOf(op.at);
  const size = bytes === 2 ? '16' : '';
  const where = `offset=${offset} ${get(word)}`;
  if (op.kind === 'cas') return set(op.to, i32('atomic.rmw.cmpxchg', where, constant(op.expected), constant(op.value)));
  const atomic = op.atomic ? 'atomic.' : '';
  if (op.kind === 'store') return i32(`${atomic}store${size}`, where, constant(op.value));
  return set(op.to, i32(`${atomic}load${size}${size && '_u'}`, where));
}

const at = (name: 'x' | 'y') =>
  set(
    name,
    i32(
      'add',
      get(`${name}At`),
      i32(
        'mul',
        get('stride'),
        i32('and', get('mask'), i32('add', get(`${name}Off`), i32('mul', get('i'), get(`${name}Mul`)))),
      ),
    ),
  );
const shuffle = (op: string, by: number) =>
  set('random', i32('xor', get('random'), i32(op, get('random'), constant(by))));
/** While `left` and the condition hold: left -= 1. */
const countdown = (left: string, condition: string) =>
  `(loop $again (if (i32.and (i32.ne ${get(left)} (i32.const 0)) ${condition}) (then ${set(left, i32('sub', get(left), constant(1)))} (br $again))))`;

function wasmProgram({ number, test, thread, others, ops }: LitmusProgram): string {
  const registers = registersOf(ops);
  const progress = (other: number) => `offset=${other * LITMUS_PACE_BYTES} ${get('paceAt')}`;
  const params = parameters.map(([name]) => `(param $${camel(name)} i32)`);
  return lines([
    `  ;; ${test}: thread ${thread}`,
    `  (func (export "p${number}") ${params.join(' ')}`,
    '    (local $x i32) (local $y i32) (local $i i32) (local $mask i32) (local $left i32) (local $alone i32)',
    `    (local $random i32) (local $out i32) ${registers.map(register => `(local $${register} i32)`).join(' ')}`,
    `    ${set('mask', i32('sub', get('count'), constant(1)))}`,
    `    ${set('random', get('seed'))} ${set('out', get('outAt'))}`,
    '    (loop $instance',
    `      ${at('x')}`,
    `      ${at('y')}`,
    `      (if (i32.and (i32.and (i32.ne ${get('spin')} (i32.const 0)) (i32.ge_u ${get('i')} ${get('alone')})) (i32.eqz (i32.and ${get('i')} ${get('paceMask')}))) (then`,
    `        ${i32('atomic.store', progress(thread), i32('add', get('i'), constant(1)))}`,
    `        ${set('left', get('spin'))}`,
    ...others.map(other => `        ${countdown('left', i32('le_u', i32('atomic.load', progress(other)), get('i')))}`),
    `        (if (i32.eqz ${get('left')}) (then ${set('alone', i32('add', get('i'), constant(ALONE)))}))`,
    '      ))',
    `      ${shuffle('shl', 13)} ${shuffle('shr_u', 17)} ${shuffle('shl', 5)}`,
    `      ${set('left', i32('and', get('random'), get('delayMask')))}`,
    `      ${countdown('left', constant(1))}`,
    ...ops.map(op => `      ${wasmOp(op)}`),
    ...registers.map((register, i) => `      ${i32('store', `offset=${4 * i} ${get('out')}`, get(register))}`),
    `      ${set('out', i32('add', get('out'), constant(4 * registers.length)))}`,
    `      ${set('i', i32('add', get('i'), constant(1)))}`,
    `      (br_if $instance (i32.lt_u ${get('i')} ${get('count')})))`,
    '  )',
  ]);
}

/** A module that imports the arena as env.memory and exports the program n as "pn", whose parameters are those of the kernel in their order. */
export function litmusWat(): string {
  return `${lines([
    ';; Written by the build from shared/lab/litmus-tests.ts: the litmus programs.',
    '(module',
    '  (import "env" "memory" (memory 1 65536 shared))',
    ...LITMUS_PROGRAMS.map(wasmProgram),
    ')',
  ])}\n`;
}

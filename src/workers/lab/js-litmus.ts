// The kernel `litmus` in JavaScript: compiles a program's text (shared/lab/litmus-code.ts) with its first use, so that V8 optimises each thread of each
// test by itself. Runs on actor threads; imports shared/ and arena.ts only.

import { HypervisorError } from '../../../shared/errors.ts';
import { LITMUS_PACE_BYTES, LITMUS_PARAM, LITMUS_THREADS_MAX, registersOf } from '../../../shared/lab/litmus.ts';
import { javascriptOf, LITMUS_PROGRAMS, type LitmusProgram } from '../../../shared/lab/litmus-code.ts';
import { type Arena, type Kernel, place, powerOfTwo, report } from './arena.ts';

type Compiled = (i32: Int32Array, u16: Uint16Array, p: Uint32Array) => void;
const compiled = new Map<number, Compiled>();

/**
 * The program that the parameters name, after a check that everything it reaches lies in the arena.
 * @throws HypervisorError `ERR_OUT_OF_RANGE`, `ERR_MEMORY_ALIGNMENT`
 */
export function litmusProgram(arena: Arena, params: Uint32Array): LitmusProgram {
  const param = (name: keyof typeof LITMUS_PARAM) => params[LITMUS_PARAM[name]] ?? 0;
  const program = LITMUS_PROGRAMS.find(({ number }) => number === param('PROGRAM'));
  if (!program) throw new HypervisorError('ERR_OUT_OF_RANGE', `there is no litmus program ${param('PROGRAM')}`);
  const count = powerOfTwo('count', param('COUNT'));
  place(arena, param('STRIDE'), 0, 4);
  for (const at of [param('X_AT'), param('Y_AT')]) place(arena, at, (count - 1) * (param('STRIDE') / 4) + 1, 4);
  place(arena, param('OUT_AT'), count * registersOf(program.ops).length, 4);
  place(arena, param('PACE_AT'), (LITMUS_THREADS_MAX * LITMUS_PACE_BYTES) / 4, 4);
  return program;
}

/** Operations: instances. */
export const jsLitmus: Kernel = (arena, params, values) => {
  const program = litmusProgram(arena, params);
  let run = compiled.get(program.number);
  if (!run) {
    // SAFETY: the text is made from our own tables; no input of anybody is in it.
    run = new Function('i32', 'u16', 'p', javascriptOf(program)) as Compiled;
    compiled.set(program.number, run);
  }
  run(arena.i32, new Uint16Array(arena.i32.buffer), params);
  report(values, params[LITMUS_PARAM.COUNT] ?? 0, 0n);
};

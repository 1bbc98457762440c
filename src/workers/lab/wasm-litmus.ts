// The kernel `litmus` in WebAssembly: instantiates the module that the build writes (litmus.wat) over an arena. Runs on actor threads; imports shared/,
// arena.ts, and the check of the parameters that JavaScript's has too.

import { LITMUS_PARAM } from '../../../shared/lab/litmus.ts';
import type { WasmMemory } from '../../../shared/memory-layout.ts';
import { type Kernel, report } from './arena.ts';
import { litmusProgram } from './js-litmus.ts';
import litmusModule from './litmus.wat?wasm';
import { WebAssembly } from './wasm-kernels.ts';

/**
 * The kernel over `memory`, whose buffer is the arena that it is called with. Operations: instances.
 * @throws what WebAssembly.instantiate throws
 */
export async function wasmLitmus(memory: WasmMemory): Promise<Kernel> {
  const { instance } = await WebAssembly.instantiate(litmusModule, { env: { memory } });
  // SAFETY: the module exports a function "pN" of as many numbers as there are parameters for each program N, and nothing else.
  const programs = instance.exports as Readonly<Record<string, (...params: number[]) => void>>;
  return (arena, params, values) => {
    const { number } = litmusProgram(arena, params);
    programs[`p${number}`]?.(...params);
    report(values, params[LITMUS_PARAM.COUNT] ?? 0, 0n);
  };
}

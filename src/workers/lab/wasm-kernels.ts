// All kernels of shared/lab/kernels.ts in WebAssembly: instantiates memory.wat and sync.wat over an arena and gives their functions the shape of kernels.
// Runs on actor threads. The modules' bytes are put in by the build.

import { LAB_CONTROL, LAB_LAYOUT, LAB_OVER } from '../../../shared/lab/control.ts';
import type { WasmMemory } from '../../../shared/memory-layout.ts';
import type { Kernel, Work } from './arena.ts';
import { checked } from './checked.ts';
import type { openJsKernels } from './js-kernels.ts';
import memoryModule from './memory.wat?wasm';
import syncModule from './sync.wat?wasm';

/** WebAssembly as far as it is used here: the compiler's library has it with the browser's types only. */
interface WasmApi {
  instantiate(
    bytes: Uint8Array,
    imports: { readonly env: Readonly<Record<string, unknown>> },
  ): Promise<{ readonly instance: { readonly exports: Readonly<Record<string, unknown>> } }>;
}
export const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WasmApi };

/** Five parameters at most; the results are operations, sum, third. */
type WasmFunction = (...params: number[]) => Iterable<bigint>;

export type WasmKernels = Readonly<Record<keyof ReturnType<typeof openJsKernels>, Kernel>>;

function workOf(run: WasmFunction): Work {
  return ([a = 0, b = 0, c = 0, d = 0, e = 0], values) => {
    values.set([...run(a, b, c, d, e)]);
  };
}

/**
 * The kernels over `memory`, whose buffer is the arena that they are called with. Compiles anew for each call.
 * @throws what WebAssembly.instantiate throws, a memory that is not shared among it
 */
export async function instantiate(memory: WasmMemory): Promise<WasmKernels> {
  const env = { memory, epoch: LAB_LAYOUT.CONTROL + 4 * LAB_CONTROL.EPOCH, over: LAB_OVER };
  const parts = await Promise.all([memoryModule, syncModule].map(bytes => WebAssembly.instantiate(bytes, { env })));
  const kernels = parts
    .flatMap(({ instance }) => Object.entries(instance.exports))
    // SAFETY: the two modules export functions of kernels alone, each under the kernel's name; a test compares the names with LAB_KERNELS.
    .map(([name, run]) => [name, workOf(run as WasmFunction)]);
  return checked(Object.fromEntries(kernels) as Record<keyof WasmKernels, Work>);
}

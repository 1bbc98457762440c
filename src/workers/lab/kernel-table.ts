// An actor's kernels by their numbers. Actor threads.

import { LAB_KERNELS } from '../../../shared/lab/kernels.ts';
import type { WasmMemory } from '../../../shared/memory-layout.ts';
import type { Kernel } from './arena.ts';
import { jsKernels } from './js-kernels.ts';
import { instantiate } from './wasm-kernels.ts';

/** @throws what instantiating the WebAssembly modules over `memory` throws */
export async function kernelsOf(kind: 'js' | 'wasm', memory: WasmMemory): Promise<ReadonlyMap<number, Kernel>> {
  const kernels: Readonly<Record<string, Kernel>> = kind === 'js' ? jsKernels : await instantiate(memory);
  const numbers: Readonly<Record<string, number>> = LAB_KERNELS;
  return new Map(Object.entries(kernels).map(([name, kernel]) => [numbers[name] ?? 0, kernel]));
}

// An actor's kernels by their numbers. Actor threads.

import { LAB_KERNELS, type LabKernel } from '../../../shared/lab/kernels.ts';
import type { WasmMemory } from '../../../shared/memory-layout.ts';
import { arenaOf, type Kernel } from './arena.ts';
import { openJsKernels } from './js-kernels.ts';
import { jsLitmus } from './js-litmus.ts';
import { instantiate } from './wasm-kernels.ts';
import { wasmLitmus } from './wasm-litmus.ts';

/** @throws what instantiating the WebAssembly modules over `memory` throws */
export async function kernelsOf(kind: 'js' | 'wasm', memory: WasmMemory): Promise<ReadonlyMap<number, Kernel>> {
  const kernels: Readonly<Record<LabKernel, Kernel>> =
    kind === 'js'
      ? { ...openJsKernels(arenaOf(memory.buffer)), litmus: jsLitmus }
      : { ...(await instantiate(memory)), litmus: await wasmLitmus(memory) };
  return new Map((Object.keys(LAB_KERNELS) as LabKernel[]).map(name => [LAB_KERNELS[name], kernels[name]]));
}

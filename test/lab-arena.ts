// A small arena for tests of the lab's kernels, and both kinds of kernels over it. Any thread. Uses the kernels' own files, no addon, no KVM.

import { LAB_LAYOUT } from '../shared/lab/control.ts';
import type { LabKernel } from '../shared/lab/kernels.ts';
import type { WasmMemory } from '../shared/memory-layout.ts';
import { arenaOf } from '../src/workers/lab/arena.ts';
import { openJsKernels } from '../src/workers/lab/js-kernels.ts';
import { instantiate } from '../src/workers/lab/wasm-kernels.ts';

export const KINDS = ['js', 'wasm'] as const;
export type Kind = (typeof KINDS)[number];
export type TestedKernel = keyof ReturnType<typeof openJsKernels>;

/** The tests' data: from DATA on. */
export const DATA = LAB_LAYOUT.DATA;
export const DATA_BYTES = 1 << 20;

interface WasmApi {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
}
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WasmApi };

/** Control area and data, as a shared WebAssembly memory of that size. */
export function openMemory(): WasmMemory {
  const pages = (DATA + DATA_BYTES) / 65536;
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Runs one kernel on this thread; gives operations, sum, third. */
export type Run = (name: TestedKernel, ...params: number[]) => readonly bigint[];

export async function openKernels(kind: Kind, memory: WasmMemory): Promise<Run> {
  const arena = arenaOf(memory.buffer);
  const kernels = kind === 'js' ? openJsKernels(arena) : await instantiate(memory);
  return (name: LabKernel & TestedKernel, ...params) => {
    const values = new BigUint64Array(12);
    kernels[name](
      arena,
      Uint32Array.from({ length: 16 }, (_, index) => params[index] ?? 0),
      values,
    );
    return [...values.subarray(0, 3)];
  };
}

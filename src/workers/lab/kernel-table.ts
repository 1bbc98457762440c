// An actor's kernels by their numbers. Actor threads.

import { HypervisorError } from '../../../shared/errors.ts';
import { LAB_KERNELS } from '../../../shared/lab/kernels.ts';
import type { WasmMemory } from '../../../shared/memory-layout.ts';
import type { Kernel } from './arena.ts';
import { jsKernels } from './js-kernels.ts';

/** @throws what instantiating the WebAssembly module throws */
export async function kernelsOf(kind: 'js' | 'wasm', _memory: WasmMemory): Promise<ReadonlyMap<number, Kernel>> {
  if (kind === 'wasm') throw new HypervisorError('ERR_STATE', 'there are no WebAssembly kernels in this build');
  const kernels: Readonly<Record<string, Kernel>> = jsKernels;
  const numbers: Readonly<Record<string, number>> = LAB_KERNELS;
  return new Map(Object.entries(kernels).map(([name, kernel]) => [numbers[name] ?? 0, kernel]));
}

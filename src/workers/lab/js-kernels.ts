// All kernels of shared/lab/kernels.ts in JavaScript. Runs on actor threads. Imports the two halves, what one thread does to plain memory and what threads do
// to each other, and the rules for their parameters.

import type { Arena } from './arena.ts';
import { checked } from './checked.ts';
import { memoryKernels } from './js-memory.ts';
import { syncKernels } from './js-sync.ts';

/** The kernels over `arena`, which they are called with. Once per thread: V8 optimises the code of one arena best. */
export function openJsKernels(arena: Arena) {
  return checked({ ...memoryKernels(arena), ...syncKernels(arena) });
}

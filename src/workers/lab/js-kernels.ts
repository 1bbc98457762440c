// All kernels of shared/lab/kernels.ts in JavaScript. Runs on actor threads. Imports the two halves, what one thread does to plain memory and what threads do
// to each other, and the rules for their parameters.

import { checked } from './checked.ts';
import { memoryKernels } from './js-memory.ts';
import { syncKernels } from './js-sync.ts';

export const jsKernels = checked({ ...memoryKernels, ...syncKernels });

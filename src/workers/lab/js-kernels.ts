// All kernels of shared/lab/kernels.ts in JavaScript. Runs on actor threads. Imports the two halves: what one thread does to plain memory,
// and what threads do to each other.

import type { LabKernel } from '../../../shared/lab/kernels.ts';
import type { Kernel } from './arena.ts';
import { memoryKernels } from './js-memory.ts';
import { syncKernels } from './js-sync.ts';

export const jsKernels = { ...memoryKernels, ...syncKernels } satisfies Partial<Record<LabKernel, Kernel>>;

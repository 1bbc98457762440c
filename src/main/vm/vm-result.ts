// What a VM says of itself: its state, how it ended, its numbers. Main thread; types, and the one conversion of errors.

import type { EndRequest } from '../../../shared/device.ts';
import { HypervisorError, isHypervisorError, messageOf } from '../../../shared/errors.ts';
import type { VcpuStatsSnapshot } from '../../../shared/vcpu-stats.ts';

export type VmState = 'created' | 'loaded' | 'running' | 'paused' | 'finished' | 'disposed';

/**
 * How a VM ended. 'shutdown' is a triple fault, 'panic' what a guest's kernel says of itself. `vcpu`: the one that ended it, where one
 * did. `error`: with reason 'error'.
 */
export interface VmResult {
  readonly reason: EndRequest | 'halt' | 'shutdown' | 'stopped' | 'deadline' | 'program-end' | 'error';
  readonly vcpu?: number;
  readonly error?: HypervisorError;
}

/** Numbers of the whole VM and of each vCPU. */
export interface VmStats {
  readonly total: VcpuStatsSnapshot;
  readonly vcpus: readonly VcpuStatsSnapshot[];
}

/** Everything that ends a VM is a HypervisorError; what is not one becomes its cause. */
export function asHypervisorError(error: unknown): HypervisorError {
  if (isHypervisorError(error)) return error;
  return new HypervisorError('ERR_VCPU_DIED', `a vCPU could not go on: ${messageOf(error)}`, { cause: error });
}

// Which engine executes vCPUs: KVM where it can be opened, the host engine otherwise, and why. Main thread.

import { accessSync, constants, existsSync } from 'node:fs';
import { HypervisorError } from '../../../shared/errors.ts';

export type Engine = 'kvm' | 'host';

export interface EngineChoice {
  readonly engine: Engine;
  /** A sentence for people: why this one. */
  readonly reason: string;
}

/** The KVM device: the environment variable NODE_KVM_DEVICE, or /dev/kvm. */
export function kvmDevice(): string {
  return process.env['NODE_KVM_DEVICE'] ?? '/dev/kvm';
}

/**
 * The engine for `wanted`. A device that can be opened is KVM, and any failure after that is an error, never a silent fallback.
 * @throws `ERR_KVM_UNAVAILABLE` and `ERR_KVM_PERMISSION` for 'kvm' where it cannot be opened.
 */
export function chooseEngine(wanted: Engine | 'auto'): EngineChoice {
  if (wanted === 'host') return { engine: 'host', reason: 'it was asked for' };
  const device = kvmDevice();
  const missing = kvmMissing(device);
  if (missing === undefined)
    return { engine: 'kvm', reason: wanted === 'kvm' ? 'it was asked for' : `${device} can be opened` };
  if (wanted === 'kvm') throw missing;
  return { engine: 'host', reason: missing.message };
}

function kvmMissing(device: string): HypervisorError | undefined {
  if (!existsSync(device)) {
    return new HypervisorError(
      'ERR_KVM_UNAVAILABLE',
      `there is no ${device}: load kvm_intel or kvm_amd, turn virtualization on in the firmware, or pass --device /dev/kvm to the container`,
      { info: { device } },
    );
  }
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (cause) {
    return new HypervisorError(
      'ERR_KVM_PERMISSION',
      `${device} may not be opened for reading and writing: add the user to its group (usually 'sudo usermod -aG kvm $USER', then log in again)`,
      {
        cause,
        info: { device },
      },
    );
  }
}

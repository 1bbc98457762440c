// Which engine executes vCPUs: KVM where it can be opened, the host engine otherwise, and why. Main thread.

import { closeSync, openSync } from 'node:fs';
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

/** Why KVM cannot be had; undefined: its device opens. Opening is the only honest test: permissions, containers and modules all show. */
function kvmMissing(device: string): HypervisorError | undefined {
  try {
    closeSync(openSync(device, 'r+'));
    return undefined;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const details = { cause, info: { device } };
    if (code === 'EACCES' || code === 'EPERM') {
      return new HypervisorError(
        'ERR_KVM_PERMISSION',
        `${device} may not be opened for reading and writing: add the user to its group (usually 'sudo usermod -aG kvm $USER', ` +
          'then log in again), or pass --device /dev/kvm to the container',
        details,
      );
    }
    const what = code === 'ENOENT' ? `there is no ${device}` : `${device} does not open (${message})`;
    return new HypervisorError(
      'ERR_KVM_UNAVAILABLE',
      `${what}: load kvm_intel or kvm_amd, turn virtualization on in the firmware, or pass --device /dev/kvm to the container`,
      details,
    );
  }
}

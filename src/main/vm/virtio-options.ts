// The options `disks`, `rng` and `virtio` of VirtualMachine.create: checked, and made one list of devices. Main thread.

import { invalidType, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { VirtioDeviceSpec } from '../../../shared/virtio/module.ts';
import type { DiskOptions } from '../../devices/open-disk.ts';
import { checkDiskOptions } from '../../devices/open-disk.ts';
import { virtioDevice } from '../devices/virtio-device.ts';
import { workerFile } from './worker-file.ts';

/** Virtio devices, in the order in which a guest finds them: disks (/dev/vda is the first), then rng, then `virtio`. 17 at most. */
export interface VirtioOptions {
  /** Files as block devices. They are opened while the VM is made, and must not change by other hands while it lives. */
  readonly disks?: readonly DiskOptions[];
  /** An entropy device, fed by this process's random number generator. Default false. */
  readonly rng?: boolean;
  /** Devices of one's own, and others of the library's. */
  readonly virtio?: readonly VirtioDeviceSpec[];
}

export const VIRTIO_OPTIONS = ['disks', 'rng', 'virtio'] as const;

/** @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE` */
export function checkVirtio({ disks = [], rng = false, virtio = [] }: VirtioOptions): readonly VirtioDeviceSpec[] {
  if (!Array.isArray(disks)) throw invalidType('disks', 'an array', disks);
  if (typeof rng !== 'boolean') throw invalidType('rng', 'a boolean', rng);
  if (!Array.isArray(virtio)) throw invalidType('virtio', 'an array', virtio);
  return [
    ...disks.map((disk: DiskOptions, index) => {
      const name = `disks[${index}]`;
      return virtioDevice(workerFile('virtio-blk-device'), { name, data: checkDiskOptions(disk, name) });
    }),
    ...(rng ? [virtioDevice(workerFile('virtio-rng-device'), { name: 'rng' })] : []),
    ...virtio.map((spec: VirtioDeviceSpec, index) => checkSpec(spec, `virtio[${index}]`)),
  ];
}

/** By its shape: types alone do not keep another object out. */
function checkSpec(spec: VirtioDeviceSpec, name: string): VirtioDeviceSpec {
  if (typeof spec !== 'object' || spec === null || spec.kind !== 'node-kvm.virtio-device')
    throw invalidType(name, 'a virtioDevice()', spec);
  refuseUnknownKeys(spec, ['kind', 'url', 'name', 'data', 'transfer'], name);
  const { url, name: called, data, transfer } = spec;
  return virtioDevice(url, { name: called, data, transfer });
}

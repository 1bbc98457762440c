// virtioDevice(): a virtio device as a module that is loaded on the VM's I/O worker. Main thread.

import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { VirtioDeviceSpec } from '../../../shared/virtio/module.ts';

export interface VirtioDeviceOptions {
  /** For messages. Default 'virtio device'. */
  readonly name?: string;
  /** What the module gets as `context.data`: anything structured-clonable. */
  readonly data?: unknown;
  /** What of `data` is moved to the device's thread instead of being cloned: a MessagePort, for example. For one VM only, then. */
  readonly transfer?: readonly object[];
}

/**
 * A virtio device of one's own. The module at `url` exports `createVirtioDevice({ name, memory, data })`, which returns a VirtioDevice (or a
 * promise of it), and is called once, on the VM's I/O worker, while the VM is made. The VM gives it registers and an interrupt; `linux()` tells the guest where they are.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`
 */
export function virtioDevice(url: URL | string, options: VirtioDeviceOptions = {}): VirtioDeviceSpec {
  const href = url instanceof URL ? url.href : url;
  if (typeof href !== 'string') throw invalidType('url', 'a URL', url);
  if (!URL.canParse(href))
    throw outOfRange('url', "an absolute URL, such as new URL('./device.js', import.meta.url)", href);
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['name', 'data', 'transfer'], 'virtioDevice');
  const { name = 'virtio device', data, transfer = [] } = options;
  if (typeof name !== 'string' || name === '') throw invalidType('name', 'a non-empty string', name);
  if (!Array.isArray(transfer)) throw invalidType('transfer', 'an array', transfer);
  return { kind: 'node-kvm.virtio-device', url: href, name, data, transfer: [...transfer] };
}

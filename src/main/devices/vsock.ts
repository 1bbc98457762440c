// vsock(): a socket device for a VM, with the application's side of it. Main thread.

import { MessageChannel } from 'node:worker_threads';
import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { VirtioDeviceSpec } from '../../../shared/virtio/module.ts';
import { workerFile } from '../vm/worker-file.ts';
import { virtioDevice } from './virtio-device.ts';
import { VsockHost } from './vsock-host.ts';

const CID_DEFAULT = 3;
const CID_MAX = 0xffff_fffe;

export interface VsockOptions {
  /** The guest's address, 3 to 2^32 - 2. Default 3. Every machine has its own sockets: two may have the same. */
  readonly cid?: number;
}

/** `connect()` and `listen()` for the application, `device` for the VM's option `virtio`. */
export interface Vsock extends VsockHost {
  readonly device: VirtioDeviceSpec;
}

/**
 * A virtio-vsock device, for one VM: the guest connects to the host's ports (cid 2) and listens on its own.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`
 */
export function vsock(options: VsockOptions = {}): Vsock {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['cid'], 'vsock()');
  const { cid = CID_DEFAULT } = options;
  if (typeof cid !== 'number') throw invalidType('cid', 'a number', cid);
  if (!Number.isInteger(cid) || cid < CID_DEFAULT || cid > CID_MAX)
    throw outOfRange('cid', 'an integer from 3 to 2^32 - 2', cid);
  const { port1, port2 } = new MessageChannel();
  const device = virtioDevice(workerFile('virtio-vsock-device'), {
    name: 'vsock',
    data: { cid, port: port1 },
    transfer: [port1],
  });
  return Object.assign(new VsockHost(port2), { device });
}

// net() and netLink(): a network device for a VM, and a cable in the process for it. Main thread.

import { randomBytes } from 'node:crypto';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { VirtioDeviceSpec } from '../../../shared/virtio/module.ts';
import { MTU_MAX, MTU_MIN } from '../../../shared/virtio/net.ts';
import { workerFile } from '../vm/worker-file.ts';
import { NetLink } from './net-link.ts';
import { virtioDevice } from './virtio-device.ts';

const MTU_DEFAULT = 1500;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** One end of a cable: for one machine, or for the application, which `open()`s it. */
export class NetEnd {
  #port: MessagePort | undefined;

  /** @internal Use netLink(). */
  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** The frames as a Duplex, for the application. @throws HypervisorError `ERR_STATE` where the end is in use */
  open(): NetLink {
    return new NetLink(this.take());
  }

  /** @internal */
  take(): MessagePort {
    const port = this.#port;
    if (port === undefined) throw new HypervisorError('ERR_STATE', 'this end of the cable is in use already');
    this.#port = undefined;
    return port;
  }
}

/** A cable between two machines, or a machine and the application. What one end is too slow for is lost. */
export function netLink(): [NetEnd, NetEnd] {
  const { port1, port2 } = new MessageChannel();
  return [new NetEnd(port1), new NetEnd(port2)];
}

export interface NetOptions {
  /**
   * Where frames go: an end of a netLink(), or the path of a Unix stream socket that takes frames behind their length (four bytes, big-endian), as
   * QEMU's `-netdev stream` and passt have it. It is connected to while the VM is made.
   */
  readonly to: NetEnd | string;
  /** The guest's address, such as '02:00:00:00:00:01'. Default: a random one, locally administered. */
  readonly mac?: string;
  /** Bytes of a frame's payload at most, 68 to 65,517. Default 1500. */
  readonly mtu?: number;
}

/**
 * A virtio-net device, for the VM's option `virtio`.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`; HypervisorError `ERR_STATE`: the end is in use
 */
export function net(options: NetOptions): VirtioDeviceSpec {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['to', 'mac', 'mtu'], 'net()');
  const { to, mtu = MTU_DEFAULT } = options;
  if (typeof to !== 'string' && !(to instanceof NetEnd)) throw invalidType('to', 'an end of a netLink() or a path', to);
  if (typeof mtu !== 'number') throw invalidType('mtu', 'a number', mtu);
  if (!Number.isInteger(mtu) || mtu < MTU_MIN || mtu > MTU_MAX)
    throw outOfRange('mtu', `an integer from ${MTU_MIN} to ${MTU_MAX}`, mtu);
  const mac = options.mac === undefined ? randomMac() : parseMac(options.mac);
  const file = workerFile('virtio-net-device');
  if (typeof to === 'string') return virtioDevice(file, { name: 'net', data: { mac, mtu, path: to } });
  const port = to.take();
  return virtioDevice(file, { name: 'net', data: { mac, mtu, port }, transfer: [port] });
}

function parseMac(text: string): Uint8Array {
  if (typeof text !== 'string') throw invalidType('mac', 'a string', text);
  const mac = new Uint8Array(Buffer.from(text.replaceAll(':', ''), 'hex'));
  if (!MAC.test(text) || ((mac[0] ?? 1) & 1) !== 0)
    throw outOfRange('mac', "an individual address such as '02:00:00:00:00:01'", text);
  return mac;
}

function randomMac(): Uint8Array {
  const mac = new Uint8Array(randomBytes(6));
  // Locally administered, individual.
  mac[0] = ((mac[0] ?? 0) & 0xfc) | 2;
  return mac;
}

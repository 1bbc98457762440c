// deviceModule(): a device as a module that is loaded where it shall live. Main thread.

import type { DeviceSpec, MmioRange, PortRange } from '../../../shared/device.ts';
import { describeDevice } from '../../../shared/device-table.ts';
import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';

export interface DeviceModuleOptions {
  readonly name: string;
  readonly pio?: PortRange;
  readonly mmio?: MmioRange;
  /** 'vcpu': an instance on each vCPU's thread, the fastest there is; 'io': one instance, on the VM's I/O worker. */
  readonly where: 'vcpu' | 'io';
  /** Shared by all instances and the caller. */
  readonly state?: SharedArrayBuffer;
}

/**
 * A device that lives away from the main thread. The module at `url` exports `createDevice({ name, vcpu, memory, state })`, which
 * returns `{ read?, write? }` (or a promise of it).
 * @throws TypeError, RangeError: wrong types, ports beyond 0xffff, no range, unknown options
 */
export function deviceModule(url: URL | string, options: DeviceModuleOptions): DeviceSpec {
  const href = url instanceof URL ? url.href : url;
  if (typeof href !== 'string') throw invalidType('url', 'a URL', url);
  if (!URL.canParse(href))
    throw outOfRange('url', "an absolute URL, such as new URL('./device.js', import.meta.url)", href);
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['name', 'pio', 'mmio', 'where', 'state'], 'deviceModule');
  if (options.where !== 'vcpu' && options.where !== 'io') throw outOfRange('where', "'vcpu' or 'io'", options.where);
  if (options.state !== undefined && !(options.state instanceof SharedArrayBuffer))
    throw invalidType('state', 'a SharedArrayBuffer', options.state);
  const spec: DeviceSpec = { kind: 'node-kvm.device-module', url: href, ...options };
  describeDevice(spec);
  return spec;
}

// Loads the device modules that live on this thread: a vCPU's own, or the I/O worker's. Worker threads.

import type { DeviceHandlers, DeviceModule } from '../../shared/device.ts';
import type { DeviceTableDescription } from '../../shared/device-table.ts';
import { HypervisorError, messageOf } from '../../shared/errors.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';

/**
 * One instance of each module whose `where` is ours, by device index. `vcpu` is -1 on the I/O worker.
 * Throws `ERR_DEVICE_HANDLER` for a module that cannot be imported or has no createDevice(), with the cause.
 */
export async function loadDeviceModules(
  devices: DeviceTableDescription,
  where: 'vcpu' | 'io',
  vcpu: number,
  memory: GuestMemory,
): Promise<(DeviceHandlers | undefined)[]> {
  const handlers: (DeviceHandlers | undefined)[] = [];
  for (const entry of devices.entries) {
    if (entry.where !== where || entry.url === undefined) {
      handlers.push(undefined);
      continue;
    }
    try {
      const module: Partial<DeviceModule> = await import(entry.url);
      if (typeof module.createDevice !== 'function') throw new TypeError('the module exports no function createDevice');
      const made = await module.createDevice({ name: entry.name, vcpu, memory, state: entry.state });
      if (typeof made !== 'object' || made === null)
        throw new TypeError('createDevice() must return an object with read and write');
      handlers.push(made);
    } catch (cause) {
      throw new HypervisorError(
        'ERR_DEVICE_HANDLER',
        `device '${entry.name}' did not start from ${entry.url}: ${messageOf(cause)}`,
        {
          cause,
          info: { device: entry.name, url: entry.url },
        },
      );
    }
  }
  return handlers;
}

// virtioConsole(): a virtio console for a VM, with its far end. Main thread.

import { MessageChannel } from 'node:worker_threads';
import { invalidType, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { ConsoleSize } from '../../../shared/virtio/console.ts';
import type { VirtioDeviceSpec } from '../../../shared/virtio/module.ts';
import { workerFile } from '../vm/worker-file.ts';
import { checkConsoleSize, VirtioConsoleStream } from './virtio-console-stream.ts';
import { virtioDevice } from './virtio-device.ts';

const SIZE_DEFAULT: ConsoleSize = { columns: 80, rows: 25 };

/** `console` for the application, `device` for the VM's option `virtio`. */
export interface VirtioConsolePort {
  readonly device: VirtioDeviceSpec;
  readonly console: VirtioConsoleStream;
}

/**
 * A virtio console (Linux: hvc0), for one VM. `size`: the terminal's, 80 by 25 unless given; `console.resize()` changes it.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`
 */
export function virtioConsole(size: ConsoleSize = SIZE_DEFAULT): VirtioConsolePort {
  if (typeof size !== 'object' || size === null) throw invalidType('size', 'an object', size);
  refuseUnknownKeys(size, ['columns', 'rows'], 'virtioConsole()');
  const { port1, port2 } = new MessageChannel();
  const device = virtioDevice(workerFile('virtio-console-device'), {
    name: 'console',
    data: { size: checkConsoleSize(size), port: port1 },
    transfer: [port1],
  });
  return { device, console: new VirtioConsoleStream(port2) };
}

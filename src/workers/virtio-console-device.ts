// A VM's virtio console, as a module for its I/O worker; its stream is the application's at the other end of a port.

import type { MessagePort } from 'node:worker_threads';
import type { ConsoleSize } from '../../shared/virtio/console.ts';
import { type ConsoleCommand, ConsoleLink } from '../../shared/virtio/console-link.ts';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../shared/virtio/module.ts';
import { PausableInbox } from '../devices/pausable-inbox.ts';

/** What virtioConsole() hands over. */
export interface ConsoleSetup {
  readonly size: ConsoleSize;
  readonly port: MessagePort;
}

export function createVirtioDevice({ data }: VirtioDeviceContext): HostedVirtioDevice {
  // SAFETY: virtioConsole() made it, on the main thread.
  const { size, port } = data as ConsoleSetup;
  const link = new ConsoleLink(size, (event, transfer) => port.postMessage(event, transfer));
  const inbox = new PausableInbox<ConsoleCommand>(port, command => link.receive(command));
  return Object.assign(link.device, {
    pause: () => inbox.pause(),
    resume: () => inbox.resume(),
    close: () => inbox.close(),
  });
}

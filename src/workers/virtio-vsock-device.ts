// A VM's socket device, as a module for its I/O worker: virtio-vsock, whose streams are the application's at the other end of a port.

import type { MessagePort } from 'node:worker_threads';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../shared/virtio/module.ts';
import { VirtioVsock } from '../../shared/virtio/vsock.ts';
import { type VsockCommand, VsockLink } from '../../shared/virtio/vsock-link.ts';
import { PausableInbox } from '../devices/pausable-inbox.ts';

/** What vsock() hands over. */
export interface VsockSetup {
  readonly cid: number;
  readonly port: MessagePort;
}

class SocketDevice extends VirtioVsock implements HostedVirtioDevice {
  readonly #inbox: PausableInbox<VsockCommand>;

  constructor({ cid, port }: VsockSetup) {
    super(cid);
    const link = new VsockLink(this, (event, transfer) => port.postMessage(event, transfer));
    this.#inbox = new PausableInbox(port, command => link.receive(command));
  }

  pause(): void {
    this.#inbox.pause();
  }

  resume(): void {
    this.#inbox.resume();
  }

  close(): void {
    this.#inbox.close();
  }
}

export function createVirtioDevice({ data }: VirtioDeviceContext): HostedVirtioDevice {
  // SAFETY: vsock() made it, on the main thread.
  return new SocketDevice(data as VsockSetup);
}

// A VM's network device, as a module for its I/O worker: virtio-net over a cable in the process, or over a socket of frames.

import type { MessagePort } from 'node:worker_threads';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../shared/virtio/module.ts';
import { VirtioNet, type VirtioNetOptions } from '../../shared/virtio/net.ts';
import { FramePort } from '../devices/frame-port.ts';
import { FrameSocket } from '../devices/frame-socket.ts';

/** What net() hands over: one of `port` and `path`. */
export interface NetSetup extends VirtioNetOptions {
  readonly port?: MessagePort;
  readonly path?: string;
}

export async function createVirtioDevice({ data }: VirtioDeviceContext): Promise<HostedVirtioDevice> {
  // SAFETY: net() made it, on the main thread.
  const { port, path = '', ...options } = data as NetSetup;
  const backend = port === undefined ? await FrameSocket.open(path) : new FramePort(port);
  const device = new VirtioNet(options, backend);
  const receive = backend.onFrame;
  return Object.assign(device, {
    // Frames that come meanwhile are lost, as on any cable that nobody listens to.
    pause: () => {
      backend.onFrame = () => false;
    },
    resume: () => {
      backend.onFrame = receive;
    },
    close: () => backend.close(),
  });
}

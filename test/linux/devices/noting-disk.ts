// A virtio device module for tests: a disk of zeroes in memory that says by a port, in order, what it was asked for besides reads.

import type { MessagePort } from 'node:worker_threads';
import { type Disk, VirtioBlk } from '../../../shared/virtio/blk.ts';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../../shared/virtio/module.ts';

export interface NotingDiskData {
  readonly bytes: number;
  readonly port: MessagePort;
}

/** Positions and lengths in bytes. */
export type Note = 'flush' | readonly ['write' | 'discard' | 'zeroes', position: number, length: number];

class NotingDisk implements Disk {
  readonly capacity: number;
  readonly readOnly = false;
  readonly id = 'notes';
  readonly #port: MessagePort;
  readonly #bytes: Uint8Array;

  constructor({ bytes, port }: NotingDiskData) {
    this.capacity = bytes;
    this.#bytes = new Uint8Array(bytes);
    this.#port = port;
  }

  async read(views: readonly Uint8Array[], position: number): Promise<void> {
    let at = position;
    for (const view of views) {
      view.set(this.#bytes.subarray(at, at + view.byteLength));
      at += view.byteLength;
    }
  }

  async write(views: readonly Uint8Array[], position: number): Promise<void> {
    let at = position;
    for (const view of views) {
      this.#bytes.set(view, at);
      at += view.byteLength;
    }
    this.#note(['write', position, at - position]);
  }

  async flush(): Promise<void> {
    this.#note('flush');
  }

  async discard(position: number, length: number): Promise<void> {
    this.#note(['discard', position, length]);
  }

  async writeZeroes(position: number, length: number): Promise<void> {
    this.#bytes.fill(0, position, position + length);
    this.#note(['zeroes', position, length]);
  }

  #note(note: Note): void {
    this.#port.postMessage(note);
  }
}

export async function createVirtioDevice({ data }: VirtioDeviceContext): Promise<HostedVirtioDevice> {
  // SAFETY: the tests give it nothing else.
  const { bytes, port } = data as NotingDiskData;
  const device: HostedVirtioDevice = new VirtioBlk(new NotingDisk({ bytes, port }));
  device.close = () => port.close();
  return device;
}

// A disk of a VM's, as a module for its I/O worker: virtio-blk over a file that is opened here.

import { native } from '../../native/index.ts';
import { VirtioBlk } from '../../shared/virtio/blk.ts';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../shared/virtio/module.ts';
import { type DiskOptions, openDisk } from '../devices/open-disk.ts';
import { PausableDisk } from '../devices/pausable-disk.ts';

class DiskDevice extends VirtioBlk implements HostedVirtioDevice {
  readonly pause: () => Promise<void>;
  readonly resume: () => void;
  readonly close: () => Promise<void>;

  constructor(disk: PausableDisk, closeFiles: () => Promise<void>) {
    super(disk);
    this.pause = () => disk.pause();
    this.resume = () => disk.resume();
    this.close = async () => {
      // Requests in flight end first; those that the pause holds back never begin.
      await disk.pause();
      await closeFiles();
    };
  }
}

export async function createVirtioDevice({ data }: VirtioDeviceContext): Promise<HostedVirtioDevice> {
  // SAFETY: checkDiskOptions() made it, on the main thread.
  const files = await openDisk(data as DiskOptions, native().punchHole);
  return new DiskDevice(new PausableDisk(files), () => Promise.resolve(files[Symbol.asyncDispose]()));
}

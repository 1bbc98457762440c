// A VM's balloon, as a module for its I/O worker: what the guest gives up goes back to the host.

import type { MessagePort } from 'node:worker_threads';
import { VirtioBalloon } from '../../shared/virtio/balloon.ts';
import {
  BALLOON_ACTUAL,
  BALLOON_GIVEN,
  type BalloonCommand,
  type BalloonEvent,
} from '../../shared/virtio/balloon-link.ts';
import type { HostedVirtioDevice, VirtioDeviceContext } from '../../shared/virtio/module.ts';
import { giveBack } from '../devices/give-back.ts';
import { PausableInbox } from '../devices/pausable-inbox.ts';

/** What balloon() hands over. */
export interface BalloonSetup {
  readonly port: MessagePort;
  readonly words: SharedArrayBuffer;
}

export function createVirtioDevice({ data, memory }: VirtioDeviceContext): HostedVirtioDevice {
  // SAFETY: balloon() made it, on the main thread.
  const { port, words } = data as BalloonSetup;
  const counters = new BigUint64Array(words);
  const post = (event: BalloonEvent) => port.postMessage(event);
  const device = new VirtioBalloon({
    discard: ranges => {
      Atomics.add(counters, BALLOON_GIVEN, BigInt(giveBack(memory, ranges)));
    },
    actual: bytes => {
      Atomics.store(counters, BALLOON_ACTUAL, BigInt(bytes));
    },
    stats: post,
  });
  const inbox = new PausableInbox<BalloonCommand>(port, command => {
    if (command.type === 'target') device.setTarget(command.bytes);
    else if (!device.askStats()) post(undefined);
  });
  return Object.assign(device, {
    pause: () => inbox.pause(),
    resume: () => inbox.resume(),
    close: () => inbox.close(),
  });
}

// The guest's memory on a worker thread: GuestMemory over the addon's bulk operations. Worker threads.

import { receiveMessageOnPort, threadId } from 'node:worker_threads';
import { native } from '../../native/index.ts';
import { GuestMemory, type MemoryPlatform } from '../../shared/guest-memory.ts';
import type { MemoryHandle } from '../../shared/memory-layout.ts';

/** `vcpu`: the vCPU that writes through it: a program, a guest whose store was watched, their devices on this thread. */
export function attachMemory(handle: MemoryHandle, vcpu?: number): GuestMemory {
  const { fill, copy } = native();
  // SAFETY: receiveMessageOnPort takes a BroadcastChannel too (it has a MessagePort's handle); Node's types say MessagePort only.
  const receive = receiveMessageOnPort as unknown as MemoryPlatform['receive'];
  return GuestMemory.attach(handle, { fill, copy, receive, threadId }, vcpu);
}

// Which pages changed? A harvest is a transaction: until it is committed, nothing is forgotten. Memory alone, no VM.

import { KvmMemory, u32le } from 'node-kvm';

using memory = new KvmMemory(16 << 20);
memory.enableDirtyTracking();

memory.write(0x5000, new Uint8Array(6000)); // two pages
memory.atomics.add(0x20_0000, u32le, 1); // one page

// A copy that fails half-way loses nothing: abort() keeps the pages for the next harvest.
const failed = memory.harvest();
console.log('first try:', show(failed.ranges()));
failed.abort();

memory.memset(0x9000, 0xff, 1);
const harvest = memory.harvest();
console.log('second try:', show(harvest.ranges()));
const saved = new Map<number, Uint8Array>();
for (const { guestAddr, size } of harvest.ranges()) {
  const bytes = new Uint8Array(size);
  memory.read(guestAddr, bytes);
  saved.set(guestAddr, bytes);
}
harvest.commit();
console.log('saved', saved.size, 'ranges; still dirty:', memory.getDirtyPages().length);

function show(ranges: readonly { guestAddr: number; size: number }[]): string {
  return ranges.map(({ guestAddr, size }) => `0x${guestAddr.toString(16)}+0x${size.toString(16)}`).join(' ');
}

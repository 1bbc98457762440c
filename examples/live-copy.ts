// Copies the memory of a running VM, as a live migration does: everything once, then again and again what was written meanwhile, while the
// guest's rate of dirtying is limited so that the rounds get shorter; the last round with the guest paused.

import { setTimeout as sleep } from 'node:timers/promises';
import { flat, VirtualMachine } from 'node-kvm';

const SIZE = 64 << 20;
// Writes to random pages of the 16 MiB at 0x1000000, for ever:
const guest = Uint8Array.from([
  ...[0xb8, 0x39, 0x30, 0, 0], //            mov eax, 12345
  ...[0x69, 0xc0, 0x6d, 0x4e, 0xc6, 0x41], // again: imul eax, eax, 0x41c64e6d
  ...[0x05, 0x39, 0x30, 0, 0], //            add eax, 12345
  ...[0x89, 0xc1, 0xc1, 0xe9, 8], //         mov ecx, eax; shr ecx, 8
  ...[0x81, 0xe1, 0xff, 0x0f, 0, 0], //      and ecx, 0xfff
  ...[0xc1, 0xe1, 12], //                    shl ecx, 12
  ...[0x81, 0xc1, 0, 0, 0, 1], //            add ecx, 0x1000000
  ...[0x89, 0x01, 0xeb, 0xdd], //            mov [rcx], eax; jmp again
]);

const vm = await VirtualMachine.create({ memory: SIZE, vcpus: 1, engine: 'kvm', dirtyTracking: true });
try {
  await vm.load(flat(guest, { at: 0x1000, mode: 64, cpl: 3 }));
  await vm.start();
  const { memory } = vm;
  const copy = new Uint8Array(SIZE);
  using cursor = memory.dirtyCursor('copy', { initially: 'dirty' });
  /** One round. Returns how many pages it copied. */
  const copyDirty = () => {
    using harvest = cursor.harvest();
    for (const { guestAddr, size } of harvest.ranges()) {
      memory.read(guestAddr, copy.subarray(guestAddr, guestAddr + size));
    }
    const pages = harvest.pageCount;
    harvest.commit(); // an error before this line would lose nothing: the pages stay dirty
    return pages;
  };
  console.log(`source ${memory.dirtySource}, first round: ${copyDirty()} pages`);
  vm.setDirtyLimit(2000); // pages per second
  for (let round = 2, pages = Infinity; pages > 500 && round < 50; round++) {
    await sleep(100);
    pages = copyDirty();
    console.log(`round ${round}: ${pages} pages`);
  }
  await vm.pause();
  console.log(`last round, paused: ${copyDirty()} pages`);
  const equal = Buffer.compare(copy, memory.view(0, SIZE)) === 0;
  console.log(equal ? 'the copy is equal' : 'the copy DIFFERS');
  process.exitCode = equal ? 0 : 1;
} finally {
  await vm[Symbol.asyncDispose]();
}

// Tests of tracking while vCPUs write, for each source in a file of its own: a copy that is kept up to date from the harvests alone equals
// memory once the vCPUs have stopped. Main thread. Uses the public API only.

import { setTimeout as sleep } from 'node:timers/promises';
import type { DirtyTrackingOptions, KvmMemory, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { PAGE, sourceSuite } from './dirty-pages.ts';
import { at, code, jump } from './guest-code.ts';
import { loadGuest, until } from './run-guest.ts';

/** Where the guest writes: 257 pages of a region of their own. */
const AREA = 0x100_0000;
const PAGES = 257;
/** Each vCPU writes the number of its round to every page of the area, at its own place in the page, for ever. */
const writing = code(
  [0x31, 0xc0], //                                      xor eax, eax
  at('round'),
  [0xff, 0xc0], //                                      inc eax
  [0xb9, 0x01, 0x01, 0x00, 0x00], //                    mov ecx, 257
  [0xbe, 0x00, 0x00, 0x00, 0x01], //                    mov esi, AREA
  at('page'),
  [0x89, 0x04, 0xfe], //                                mov [rsi + rdi*8], eax
  [0x81, 0xc6, 0x00, 0x10, 0x00, 0x00], //              add esi, 4096
  [0xff, 0xc9], //                                      dec ecx
  jump(0x75, 'page'), //                                jnz page
  jump(0xeb, 'round'), //                               jmp round
);

export type Copy = Map<number, Uint8Array>;

/** Brings the copy up to date with what the harvest reports. */
export function replay(memory: KvmMemory, copy: Copy): void {
  using harvest = memory.harvest();
  for (const { guestAddr, size } of harvest.ranges()) {
    for (let page = guestAddr; page < guestAddr + size; page += PAGE) {
      const bytes = new Uint8Array(PAGE);
      memory.read(page, bytes);
      copy.set(page, bytes);
    }
  }
  harvest.commit();
}

/** All of memory, page by page. */
export function fullCopy(memory: KvmMemory): Copy {
  const copy: Copy = new Map();
  for (const { guestAddr, size } of memory.regions()) {
    for (let page = guestAddr; page < guestAddr + size; page += PAGE) {
      const bytes = new Uint8Array(PAGE);
      memory.read(page, bytes);
      copy.set(page, bytes);
    }
  }
  return copy;
}

/** The pages in which the copy is not what memory is. */
export function differences(memory: KvmMemory, copy: Copy): string[] {
  return [...fullCopy(memory)]
    .filter(([page, bytes]) => Buffer.compare(bytes, copy.get(page) ?? new Uint8Array(PAGE)) !== 0)
    .map(([page]) => `0x${page.toString(16)}`);
}

/** Two vCPUs that write, at ring 3, where they run natively on every KVM. */
export async function startWriting(dirtyTracking: false | DirtyTrackingOptions): Promise<VirtualMachine> {
  const vm = await loadGuest(writing, {
    mode: 64,
    cpl: 3,
    vcpus: 2,
    dirtyTracking,
    onLoaded: vm => vm.memory.addRegion(AREA, PAGES * PAGE),
  });
  await vm.start();
  const last = vm.memory.view(AREA + (PAGES - 1) * PAGE, 16);
  await until(() => last[0] !== 0 && last[8] !== 0, 'both vCPUs write');
  return vm;
}

/** Harvests, stops and starts, and changes of the map, all under two vCPUs that write. Runs its suite. */
export function testWhileRunning(
  needs: 'pagemap' | 'bitmap' | 'ring',
  name: string,
  options: DirtyTrackingOptions,
): void {
  const test = sourceSuite(needs, `dirty while vCPUs write: ${name}`);
  /** For a machine whose tracking is on already, or is turned on later. */
  const { ringEntries: _, ...later } = options;

  test('harvests while they write', async () => {
    await using vm = await startWriting(options);
    const { memory } = vm;
    const copy = fullCopy(memory);
    for (let round = 0; round < 20; round++) {
      replay(memory, copy);
      await sleep(1);
    }
    await vm.pause();
    replay(memory, copy);
    assert.equal(differences(memory, copy), []);
    assert.is(memory.getDirtyPages().length, 0);
  });

  test('started under them with everything dirty, stopped and started again', async () => {
    await using vm = await startWriting(options.source === 'ring' ? options : false);
    const { memory } = vm;
    const copy: Copy = new Map();
    for (let round = 0; round < 5; round++) {
      memory.disableDirtyTracking();
      await sleep(1);
      memory.enableDirtyTracking({ ...later, initially: 'dirty' });
      replay(memory, copy);
      await sleep(1);
      replay(memory, copy);
    }
    await vm.pause();
    replay(memory, copy);
    assert.equal(differences(memory, copy), []);
  });

  test('the area is split and joined, other regions come and go', async () => {
    await using vm = await startWriting(options);
    const { memory } = vm;
    const copy = fullCopy(memory);
    for (let round = 0; round < 8; round++) {
      // Writes to the read-only part become accesses that nobody claims.
      memory.setReadOnly(AREA + 65 * PAGE, 3 * PAGE, true);
      memory.addRegion(0x200_0000, 5 * PAGE, { contents: Uint8Array.of(round) });
      replay(memory, copy);
      memory.setReadOnly(AREA + 65 * PAGE, 3 * PAGE, false);
      memory.removeRegion(0x200_0000);
      await sleep(1);
    }
    await vm.pause();
    replay(memory, copy);
    assert.equal(differences(memory, copy), []);
  });

  test.run();
}

// Dirty pages against exactly known sets: written by the guest, through the API, by both; over three slots with sizes that are
// no multiple of 64 pages.

import type { KvmMemory, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { at, code, jump, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { CODE, loadGuest } from '../run-guest.ts';

const test = kvmSuite('dirty pages');

const PAGE = 4096;
/** Three slots: pages, none a multiple of 64. */
const BASE_PAGES = 1031;
const SECOND = { addr: 0x1000_0000, pages: 3 };
const THIRD = { addr: 0x2000_0000, pages: 131 };
/** The addresses that the guest writes to, ended by 0. The host writes them before tracking starts. */
const LIST = 0x3000;

/** Writes a word to each address of the list and nothing else. */
const guest = code(
  [0xbe, ...le32(LIST)], // mov esi, LIST
  at('next'),
  [0xad], //                lodsd
  [0x85, 0xc0], //          test eax, eax
  jump(0x74, 'end'), //     jz end
  [0x89, 0x00], //          mov [eax], eax
  jump(0xeb, 'next'), //    jmp next
  at('end'),
  [0xf4], //                hlt
);

/** First and last page of each slot, neighbours, and some in the middle on both sides of a 64-page border. */
const guestPages = [0, 5, 63, 64, 65, 1024, 1000]
  .map(page => page * PAGE)
  .concat(
    [0, 2].map(page => SECOND.addr + page * PAGE),
    [0, 64, 127, 128, 130].map(page => THIRD.addr + page * PAGE),
  );
const apiPages = [1, 5, 66, 1030]
  .map(page => page * PAGE)
  .concat(
    [SECOND.addr + PAGE],
    [63, 64, 129].map(page => THIRD.addr + page * PAGE),
  );

/** Every page of the ranges, one by one. */
function pagesOf(ranges: ReturnType<KvmMemory['getDirtyPages']>): number[] {
  return ranges.flatMap(({ guestAddr, size }) =>
    Array.from({ length: size / PAGE }, (_, index) => guestAddr + index * PAGE),
  );
}

const harvestedPages = (memory: KvmMemory) => pagesOf(memory.getDirtyPages());

/**
 * Without the pages that the guest only reads. KVM may map a page writable when the guest first reads it; it would not see a
 * later write then, so it reports the page at once. Never more than these two: nothing else is read.
 */
const written = (pages: readonly number[]) => pages.filter(page => page !== LIST && page !== CODE);

const union = (...lists: number[][]) => [...new Set(lists.flat())].sort((a, b) => a - b);

/** A machine that will write to `pages`, with tracking on and nothing dirty. */
async function trackedMachine(pages: readonly number[]): Promise<VirtualMachine> {
  return loadGuest(guest, {
    mode: 32,
    memory: BASE_PAGES * PAGE,
    onLoaded(vm) {
      vm.memory.addRegion(SECOND.addr, SECOND.pages * PAGE);
      vm.memory.addRegion(THIRD.addr, THIRD.pages * PAGE);
      // A word inside the page, never its first: address 0 would end the list.
      vm.memory.write(LIST, new Uint8Array(Uint32Array.from([...pages.map(page => page + 0x10), 0]).buffer));
      vm.memory.enableDirtyTracking();
    },
  });
}

async function runToEnd(vm: VirtualMachine): Promise<void> {
  await vm.start();
  assert.is((await vm.finished).reason, 'halt');
}

function writeByApi(memory: KvmMemory): void {
  for (const page of apiPages) memory.write(page + 100, Uint8Array.of(1));
}

test('written by the guest', async () => {
  await using vm = await trackedMachine(guestPages);

  await runToEnd(vm);

  assert.equal(written(harvestedPages(vm.memory)), union(guestPages));
  assert.equal(harvestedPages(vm.memory), []);
});

test('written through the API', async () => {
  await using vm = await trackedMachine([]);

  await runToEnd(vm);
  writeByApi(vm.memory);

  assert.equal(written(harvestedPages(vm.memory)), union(apiPages));
  assert.equal(harvestedPages(vm.memory), []);
});

test('written by both: each page once, ascending', async () => {
  await using vm = await trackedMachine(guestPages);

  writeByApi(vm.memory);
  await runToEnd(vm);

  assert.equal(written(harvestedPages(vm.memory)), union(apiPages, guestPages));
  assert.equal(harvestedPages(vm.memory), []);
});

test('an aborted harvest keeps every page, a committed one clears them', async () => {
  await using vm = await trackedMachine(guestPages);
  await runToEnd(vm);

  const aborted = vm.memory.harvest();
  const first = pagesOf(aborted.ranges());
  aborted.abort();
  writeByApi(vm.memory);
  const committed = vm.memory.harvest();
  const second = pagesOf(committed.ranges());
  committed.commit();

  assert.equal(written(first), union(guestPages));
  assert.equal(written(second), union(apiPages, guestPages));
  assert.equal(harvestedPages(vm.memory), []);
});

test.run();

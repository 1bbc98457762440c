// Source 'ring': KVM's ring per vCPU. Which vCPU wrote is known; a ring that is full stops its vCPU until it is emptied, and nothing is lost
// by it; what cannot be had together with it is refused. Runs where the probe found that the kernel's rings lose nothing.

import { type DirtyTrackingOptions, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { dirtyPages, PAGE, sourceSuite } from '../dirty-pages.ts';
import { codeOf } from '../errors.ts';
import { at, code, jump } from '../guest-code.ts';
import { loadGuest } from '../run-guest.ts';

const test = sourceSuite('ring', 'dirty source ring');

const RING = { source: 'ring', ringEntries: 1024 } as const satisfies DirtyTrackingOptions;
const AREA = 0x100_0000;
/** Of each vCPU; half as many again as its ring holds. */
const PAGES = 1536;
const ALL = 2 * PAGES;

/** vCPU i writes a word to each of its 1536 pages, and halts. */
const writing = code(
  [0xb9, 0x00, 0x06, 0x00, 0x00], //       mov ecx, 1536
  [0x89, 0xf8], //                         mov eax, edi
  [0x69, 0xc0, 0x00, 0x00, 0x60, 0x00], // imul eax, eax, 1536 * 4096
  [0x05, 0x00, 0x00, 0x00, 0x01], //       add eax, AREA
  at('page'),
  [0x89, 0x08], //                         mov [rax], ecx
  [0x05, 0x00, 0x10, 0x00, 0x00], //       add eax, 4096
  [0xff, 0xc9], //                         dec ecx
  jump(0x75, 'page'), //                   jnz page
  [0xf4], //                               hlt
);

async function machine(options: DirtyTrackingOptions): Promise<VirtualMachine> {
  return loadGuest(writing, {
    mode: 64,
    vcpus: 2,
    dirtyTracking: options,
    onLoaded: vm => {
      vm.memory.addRegion(AREA, ALL * PAGE);
      vm.memory.getDirtyPages();
    },
  });
}

/** The pages of the area among those that are dirty: page tables and code are KVM's business. */
const areaPages = (pages: readonly number[]) =>
  pages.filter(page => page >= AREA / PAGE).map(page => page - AREA / PAGE);
const everyPage = Array.from({ length: ALL }, (_, page) => page);

test('rings that become full lose no page', async () => {
  await using vm = await machine(RING);
  assert.is(vm.memory.dirtySource, 'ring');
  await vm.start();
  assert.is((await vm.finished).reason, 'halt');
  assert.equal(areaPages(dirtyPages(vm.memory)), everyPage);
  assert.equal(dirtyPages(vm.memory), []);
});

test('each page is known to be written by its vCPU, and one of the API by its thread', async () => {
  await using vm = await machine({ ...RING, attribution: true });
  await vm.start();
  await vm.finished;
  vm.memory.memset(0x3000, 1, 1);
  using harvest = vm.memory.harvest();
  assert.equal(harvest.writerAt(AREA), { kind: 'vcpu', index: 0 });
  assert.equal(harvest.writerAt(AREA + PAGES * PAGE), { kind: 'vcpu', index: 1 });
  assert.equal(harvest.writerAt(AREA + (ALL - 1) * PAGE), { kind: 'vcpu', index: 1 });
  assert.is(harvest.writerAt(0x3000).kind, 'thread');
});

test('off and on, and to pagemap and back where there is one', async () => {
  await using vm = await machine(RING);
  const { memory } = vm;
  memory.memset(AREA + PAGE, 1, 1);
  memory.disableDirtyTracking();
  memory.memset(AREA + 3 * PAGE, 1, 1);
  memory.enableDirtyTracking({ source: 'ring' });
  assert.equal(areaPages(dirtyPages(memory)), [1]);
  await vm.start();
  await vm.finished;
  memory.disableDirtyTracking();
  memory.enableDirtyTracking();
  assert.equal(areaPages(dirtyPages(memory)), everyPage);
});

test("KVM's bitmap cannot be had of a VM with rings, nor rings of a VM without them", async () => {
  await using vm = await machine(RING);
  assert.is(await codeOf(() => vm.memory.enableDirtyTracking({ source: 'bitmap' })), 'ERR_DIRTY_SOURCE');
  assert.is(vm.memory.dirtySource, 'ring');
  await using other = await VirtualMachine.create({ memory: PAGE, vcpus: 1, engine: 'kvm' });
  assert.is(await codeOf(() => other.memory.enableDirtyTracking({ source: 'ring' })), 'ERR_DIRTY_SOURCE');
});

test('rings of the default size, which never become full here', async () => {
  await using vm = await machine({ source: 'ring' });
  await vm.start();
  await vm.finished;
  assert.equal(areaPages(dirtyPages(vm.memory)), everyPage);
});

test.run();

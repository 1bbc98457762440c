// Regions come and go under running vCPUs: the guest sees memory where there is some and all ones where there is none.

import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest, until, words32 } from '../run-guest.ts';

const test = kvmSuite('regions change while vCPUs run');

const PLUGGED = 0x100_0000;
const SEEN = 0x2000;
const ALL_ONES = 0xffff_ffff;

/** Copies a word of the plugged region to a place of each vCPU's own, for ever. */
const polling = code(
  at('again'),
  [0x8b, 0x04, 0x25, 0x00, 0x00, 0x00, 0x01], //       mov eax, [PLUGGED]
  [0x89, 0x04, 0xbd, 0x00, 0x20, 0x00, 0x00], //       mov [SEEN + rdi*4], eax
  jump(0xeb, 'again'), //                              jmp again
);

test('two polling vCPUs see every region that is plugged in, and none that is out', async () => {
  await using vm = await loadGuest(polling, { mode: 64, cpl: 3, vcpus: 2 });
  const bothSee = (value: number) =>
    until(() => words32(vm, SEEN, 2).every(word => word === value), `both see ${value}`);
  await vm.start();
  await bothSee(ALL_ONES);

  for (let round = 1; round <= 20; round++) {
    vm.memory.addRegion(PLUGGED, 0x3000);
    vm.memory.write(PLUGGED, new Uint8Array(Uint32Array.of(round).buffer));
    await bothSee(round);
    vm.memory.removeRegion(PLUGGED);
    await bothSee(ALL_ONES);
  }

  await vm.stop();
  assert.is((await vm.finished).reason, 'stopped');
});

/** Counts in the plugged region for ever. */
const counting = code(
  at('again'),
  [0xf0, 0xff, 0x04, 0x25, 0x00, 0x00, 0x00, 0x01], // lock inc dword ptr [PLUGGED]
  jump(0xeb, 'again'), //                              jmp again
);

test('once removeRegion() has returned no vCPU writes to what was removed', async () => {
  await using vm = await loadGuest(counting, {
    mode: 64,
    cpl: 3,
    vcpus: 2,
    onLoaded: vm => vm.memory.addRegion(PLUGGED, 0x1000),
  });
  const word = new Uint32Array(vm.memory.view(PLUGGED, 4).buffer, vm.memory.view(PLUGGED, 4).byteOffset, 1);
  await vm.start();
  await until(() => (word[0] ?? 0) > 1000, 'the guest counts');

  vm.memory.removeRegion(PLUGGED);
  const left = word[0];
  await sleep(30);

  assert.is(word[0], left);
  assert.ok((left ?? 0) > 1000);
});

test.run();

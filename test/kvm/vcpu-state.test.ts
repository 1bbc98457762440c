// The other states of a vCPU (floating point, XSAVE, MSRs, debug registers, events, run state, CPUID): set and read back.

import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest } from '../run-guest.ts';
import { spinning } from '../spinning-guest.ts';

const test = kvmSuite('vCPU state');

const machine = () => loadGuest(spinning, { mode: 64 });
const MSR_STAR = 0xc000_0081;
const MSR_LSTAR = 0xc000_0082;

test('floating point', async () => {
  await using vm = await machine();
  const [vcpu] = vm.vcpus;
  const xmm = (await vcpu?.getFpu())?.xmm.map((_, index) => new Uint8Array(16).fill(index + 1));

  await vcpu?.setFpu({ xmm: xmm as Uint8Array[], mxcsr: 0x1f80 });

  assert.equal((await vcpu?.getFpu())?.xmm, xmm);
});

test('XSAVE area', async () => {
  await using vm = await machine();
  const [vcpu] = vm.vcpus;
  const area = (await vcpu?.getXsave()) as Uint8Array;
  // The legacy area's xmm3, and the bit that says that SSE state is there.
  area.fill(0xa5, 160 + 3 * 16, 160 + 4 * 16);
  area[512] = (area[512] ?? 0) | 2;

  await vcpu?.setXsave(area);

  assert.equal((await vcpu?.getFpu())?.xmm[3], new Uint8Array(16).fill(0xa5));
});

test('model specific registers', async () => {
  await using vm = await machine();
  const [vcpu] = vm.vcpus;

  await vcpu?.setMsrs([
    [MSR_STAR, 0x1234_5678_0000_0000n],
    [MSR_LSTAR, 0xffff_8000_1234_5678n],
  ]);

  assert.equal(await vcpu?.getMsrs([MSR_LSTAR, MSR_STAR]), [0xffff_8000_1234_5678n, 0x1234_5678_0000_0000n]);
  assert.is(await codeOf(vcpu?.getMsrs([0x1234_5678]) as Promise<unknown>), 'ERR_SYSCALL');
});

test('debug registers', async () => {
  await using vm = await machine();
  const [vcpu] = vm.vcpus;

  await vcpu?.setDebugRegs({ db: [0x1000n, 0x2000n, 0x3000n, 0x4000n] });

  assert.equal((await vcpu?.getDebugRegs())?.db, [0x1000n, 0x2000n, 0x3000n, 0x4000n]);
});

test('events, run state and CPUID', async () => {
  await using vm = await machine();
  const [vcpu] = vm.vcpus;
  const events = await vcpu?.getEvents();

  await vcpu?.setEvents(events as NonNullable<typeof events>);

  assert.equal(await vcpu?.getEvents(), events);
  assert.is(await vcpu?.getMpState(), 'runnable');
  assert.ok(vcpu?.getCpuid().some(leaf => leaf.function === 1));
});

test.run();

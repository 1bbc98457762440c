// Statistics count right: every exit of a storm once, by its reason; what nobody claimed, what was handed over; and times that add up.

import type { VmStats } from 'node-kvm';
import * as assert from 'uvu/assert';
import { at, code, jump, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('exit storm');

const ROUNDS = 1000;

/** Each vCPU: ROUNDS times a claimed port, an unclaimed port and an unclaimed address. */
const guest = code(
  [0xb9, ...le32(ROUNDS)], //        mov ecx, ROUNDS
  at('again'),
  [0xe7, 0x10], //                   out 0x10, eax
  [0xe7, 0x80], //                   out 0x80, eax
  [0xa3, 0x00, 0x00, 0x00, 0xd0], // mov [0xd0000000], eax
  jump(0xe2, 'again'), //            loop again
  [0xf4], //                         hlt
);

const sum = (numbers: readonly number[] = []) => numbers.reduce((total, count) => total + count, 0);

test('two vCPUs: every exit is counted once, by its reason', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });
  let stats: VmStats | undefined;
  const begin = performance.now();

  await runGuest(guest, { mode: 32, vcpus: 2, devices: [port.device] }, vm => {
    stats = vm.stats();
  });

  const elapsedNs = (performance.now() - begin) * 1e6;
  assert.is(port.accesses.length, 2 * ROUNDS);
  assert.is(stats?.vcpus.length, 2);
  for (const vcpu of stats?.vcpus ?? []) {
    assert.equal(vcpu.exitsByReason, { io: 2 * ROUNDS, mmio: ROUNDS, hlt: 1 });
    assert.is(vcpu.exits, 3 * ROUNDS + 1);
    assert.is(vcpu.unclaimed, 2 * ROUNDS);
    assert.is(vcpu.handovers, ROUNDS);
    assert.ok(vcpu.guestNs > 0 && vcpu.outsideNs > 0 && vcpu.guestNs + vcpu.outsideNs < elapsedNs);
    // The handling of every exit but the last, after which nothing was entered again.
    assert.ok(Math.abs(sum(vcpu.handlingHistogram) - 3 * ROUNDS) <= vcpu.interrupted);
  }
  assert.is(stats?.total.exits, 2 * (3 * ROUNDS + 1));
});

test.run();

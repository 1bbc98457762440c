// The wall-clock deadline ends a machine whose guest never would, soon after its time and not before.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest, runGuest } from '../run-guest.ts';
import { slowness } from '../slowness.ts';
import { spinning } from '../spinning-guest.ts';

const test = kvmSuite('deadline');

test("a guest that spins ends with reason 'deadline'", async () => {
  await using vm = await loadGuest(spinning, { mode: 64, vcpus: 2, deadlineMs: 100 });
  const begin = performance.now();

  await vm.start();
  const result = await vm.finished;

  const took = performance.now() - begin;
  assert.is(result.reason, 'deadline');
  assert.is(result.error, undefined);
  assert.ok(took >= 99 && took < 1000 * slowness, `took ${took} ms`);
});

test('a guest that ends earlier is not touched by it', async () => {
  const result = await runGuest(code([0xf4]), { mode: 32, deadlineMs: 5000 * slowness }); // hlt

  assert.is(result.reason, 'halt');
});

test.run();

// stop() ends a machine from each of its states, twice as well as once; afterwards everything but looking is refused.

import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest } from '../run-guest.ts';
import { slowness } from '../slowness.ts';
import { counters, spinning, startSpinning } from '../spinning-guest.ts';

const test = kvmSuite('stop');

for (const cpl of [0, 3] as const) {
  test(`a machine that runs at ring ${cpl}`, async () => {
    await using vm = await startSpinning({ cpl });
    const begin = performance.now();

    await Promise.all([vm.stop(), vm.stop()]);

    const left = counters(vm);
    assert.ok(performance.now() - begin < 500 * slowness);
    assert.is((await vm.finished).reason, 'stopped');
    assert.is(await codeOf(vm.resume()), 'ERR_STATE');
    assert.is(await codeOf(vm.start()), 'ERR_STATE');
    assert.equal(counters(vm), left);
    await vm.stop();
  });
}

test('a machine that is paused', async () => {
  await using vm = await startSpinning();
  await vm.pause();

  await vm.stop();

  assert.is((await vm.finished).reason, 'stopped');
});

test('a machine that was never started', async () => {
  await using vm = await loadGuest(spinning, { mode: 64 });

  await vm.stop();

  assert.is((await vm.finished).reason, 'stopped');
});

test.run();

// Wake-ups between a guest and another thread, by a doorbell that is a device and by one that is an ioeventfd: every ring is answered and has its time.

import * as assert from 'uvu/assert';
import { WakeRing } from '../../src/main/lab/machines/wake-ring.ts';
import type { OpenVariant } from '../../src/main/lab/workload.ts';
import { wakeUps } from '../../src/main/lab/workloads/wake-ups.ts';
import { kvmSuite } from '../harness.ts';
import { labContext } from '../lab-context.ts';

const test = kvmSuite('lab: doorbell');

const variantOf = (via: string) => wakeUps.variants(labContext()).find(({ parameters }) => parameters['via'] === via);

async function repeatTwice(opening: Promise<OpenVariant> | undefined): Promise<void> {
  assert.ok(opening);
  await using open = await opening;
  for (const scale of [1, 3]) {
    const { value, latenciesNs } = await open.repeat(scale);
    const times = Array.from(latenciesNs ?? []);

    assert.is(times.length, 20 * scale);
    assert.ok(times.every(ns => ns > 0));
    assert.ok(times.reduce((sum, ns) => sum + ns, 0) <= open.lastNs);
    assert.ok(Math.abs(value * 20 * scale * 1e3 - open.lastNs) < 1);
  }
}

test('a guest rings, a thread answers, repetition after repetition', () => repeatTwice(variantOf('doorbell')?.open()));

test('a guest rings by an ioeventfd, a JavaScript thread answers', () => repeatTwice(variantOf('ioeventfd')?.open()));

test('a guest rings by an ioeventfd, a C thread answers', () => repeatTwice(variantOf('ioeventfd')?.openBaseline?.()));

test("the guest's times add up to what its round takes by the clock", async () => {
  await using ring = await WakeRing.open('js', labContext().cpus);
  const start = process.hrtime.bigint();

  const times = await ring.ask(200);

  const byClock = Number(process.hrtime.bigint() - start);
  const byGuest = times.reduce((sum, ns) => sum + ns, 0);
  assert.ok(byGuest > 0 && byGuest < byClock, `${byGuest} of ${byClock} ns`);
});

test('a machine that is disposed of while its guest asks ends', async () => {
  const ring = await WakeRing.open('js', [0]);
  const asking = ring.ask(60_000).then(
    () => 'answered',
    ({ code }) => String(code),
  );
  await ring[Symbol.asyncDispose]();

  assert.is(await asking, 'ERR_LAB_RESULT');
});

test.run();

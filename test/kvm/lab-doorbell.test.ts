// Wake-ups between a guest and a JavaScript thread: every ring of the doorbell is answered and has its time.

import * as assert from 'uvu/assert';
import { wakeUps } from '../../src/main/lab/workloads/wake-ups.ts';
import { kvmSuite } from '../harness.ts';
import { labContext } from '../lab-context.ts';

const test = kvmSuite('lab: doorbell');

test('a guest rings, a thread answers, repetition after repetition', async () => {
  const variant = wakeUps.variants(labContext()).find(({ parameters }) => parameters['via'] === 'doorbell');
  await using open = await variant?.open();

  for (const scale of [1, 3]) {
    const sample = await open?.repeat(scale);
    const times = Array.from(sample?.latenciesNs ?? []);

    assert.is(times.length, 20 * scale);
    assert.ok(times.every(ns => ns > 0));
    assert.ok(times.reduce((sum, ns) => sum + ns, 0) < (open?.lastNs ?? 0));
  }
});

test.run();

// Lifting a limit that is not there: the vCPU goes on as it was.

import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DirtyLimiter } from '../../src/main/vm/dirty-limit.ts';

const test = suite('dirty limit: lifted');

test('a limit that is lifted twice leaves the vCPU without slices', () => {
  using memory = new KvmMemory(4096);
  memory.enableDirtyTracking({ source: 'host' });
  let runMs = 0;
  const control = {
    ranUs: 0,
    throttle: (ms: number) => {
      runMs = ms;
    },
  };
  const limiter = new DirtyLimiter({
    memory,
    vcpus: 1,
    source: () => memory.dirtySource,
    ringEntries: () => 0,
    controls: [control],
  });

  limiter.set([0], 100);
  const limited = runMs;
  limiter.set([0], undefined);
  limiter.set([0], undefined);

  assert.ok(limited > 0);
  assert.is(runMs, 0);
});

test.run();

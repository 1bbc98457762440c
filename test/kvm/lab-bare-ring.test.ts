// The baseline's dirty rings: what a guest wrote since the last harvest is found by C, once; a ring that fills up is emptied on the vCPU's thread.

import * as assert from 'uvu/assert';
import { StormMachine } from '../../src/main/lab/machines/storm-machine.ts';
import { probeDirtySource } from '../../src/main/memory/dirty-probe.ts';
import { kvmSuite, suiteUnless } from '../harness.ts';

const { available, reason } = probeDirtySource('ring');

/** A machine with one vCPU whose ring has so many entries, and how many pages a storm wrote and a harvest found. */
async function open(ringEntries: number, pages: number) {
  const data = { bytes: pages * 4096, slots: 2 };
  const { machine, vm } = await StormMachine.openBare({ vcpus: 1, cpus: [], data, log: 'ring', ringEntries });
  vm.startLog();
  return {
    round: async (writes: number, seed: number) => {
      await machine.run(() => ({ kind: 'touch', firstPage: 0, pages, writes, seed }));
      return [...machine.stored(), vm.takeLog()];
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

// Kinds of KVM whose rings lose entries once full are left out, as everywhere.
const test = available ? kvmSuite('lab: bare ring') : suiteUnless(`no dirty ring: ${reason}`, 'lab: bare ring');

test('round by round, all pages or some', async () => {
  await using storm = await open(4096, 512);

  for (const [seed, writes] of [1, 0.5, 1, 0.1].entries()) {
    const [stored = 0, found] = await storm.round(writes, seed);
    assert.is(found, stored);
    assert.ok(writes === 1 ? stored === 512 : stored > 0 && stored < 512, `${stored} stores`);
  }
});

test('a ring that is a quarter of what is written', async () => {
  await using storm = await open(1024, 4096);

  assert.equal(await storm.round(1, 1), [4096, 4096]);
});

test.run();

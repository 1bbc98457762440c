// The watch of a heat map has a cursor of its own, begins with what is written after it was made, and a harvest that fails ends
// the run with what was recorded until then.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypervisorError } from '../../shared/errors.ts';
import { HeatWatch } from '../../src/main/cli/heat-watch.ts';
import { KvmMemory } from '../../src/main/memory/kvm-memory.ts';
import type { VirtualMachine } from '../../src/main/vm/virtual-machine.ts';

const test = suite('heat watch');
const HOUR_MS = 3_600_000;

/** As much of a machine as a watch uses. */
function machine(memory: Pick<KvmMemory, 'regions' | 'dirtyCursor'>) {
  const calls = { stops: 0 };
  const vm = {
    memory,
    stop: async () => {
      calls.stops += 1;
    },
  } as unknown as VirtualMachine;
  return { vm, calls };
}

test('it sees what is written from its making on, and takes nothing from other consumers', () => {
  using memory = new KvmMemory(1 << 20);
  memory.enableDirtyTracking({ source: 'host' });
  memory.write(0x1000, Uint8Array.of(1));
  const seen: number[][] = [];
  const watch = new HeatWatch(machine(memory).vm, HOUR_MS, ranges => seen.push([...ranges]));
  memory.write(0x5000, new Uint8Array(8192));
  watch.begin();
  watch.end();
  assert.equal(seen, [[0x5000, 8192]]);
  assert.is(watch.record.pages, 2);
  assert.is(watch.error, undefined);
  assert.equal(memory.getDirtyPages(), [
    { guestAddr: 0x1000, size: 4096 },
    { guestAddr: 0x5000, size: 8192 },
  ]);
  // Its name is free again.
  memory.dirtyCursor('heat')[Symbol.dispose]();
});

test('a harvest that fails stops the machine once; the record stays, the error is kept', async () => {
  using memory = new KvmMemory(1 << 20);
  memory.enableDirtyTracking({ source: 'host' });
  const error = new HypervisorError('ERR_SYSCALL', 'on purpose');
  let harvests = 0;
  const { vm, calls } = machine({
    regions: () => memory.regions(),
    dirtyCursor: name => {
      const cursor = memory.dirtyCursor(name);
      const harvest = cursor.harvest.bind(cursor);
      cursor.harvest = () => {
        harvests += 1;
        if (harvests === 2) throw error;
        return harvest();
      };
      return cursor;
    },
  });
  const watch = new HeatWatch(vm, 1, () => {});
  memory.write(0x5000, Uint8Array.of(1));
  watch.begin();
  while (watch.error === undefined) await new Promise(resolve => setTimeout(resolve, 1));
  watch.end();
  assert.is(watch.error, error);
  assert.is(calls.stops, 1);
  assert.is(harvests, 2);
  assert.is(watch.record.pages, 1);
});

test.run();

// Options of dirty tracking: what is wrong or cannot be had is refused by code, before anything has changed, and says what to do.

import { KvmMemory, VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE } from '../dirty-pages.ts';
import { codeOf } from '../errors.ts';

const test = suite('dirty: options');

const wrong: [options: object, code: string][] = [
  [{ sources: 'host' }, 'ERR_UNKNOWN_OPTION'],
  [{ source: 'wishes' }, 'ERR_DIRTY_SOURCE'],
  [{ source: 7 }, 'ERR_DIRTY_SOURCE'],
  [{ initially: 'full' }, 'ERR_OUT_OF_RANGE'],
  [{ attribution: 1 }, 'ERR_INVALID_ARG_TYPE'],
  [{ granularity: '2M' }, 'ERR_OUT_OF_RANGE'],
  [{ log: 'automatic' }, 'ERR_OUT_OF_RANGE'],
  [{ log: 'manual', source: 'pagemap' }, 'ERR_DIRTY_SOURCE'],
  [{ log: 'manual', source: 'host' }, 'ERR_DIRTY_SOURCE'],
  [{ log: 'plain', source: 'ring' }, 'ERR_DIRTY_SOURCE'],
  [{ ringEntries: 4096 }, 'ERR_DIRTY_SOURCE'],
  [{ ringEntries: 4096, source: 'pagemap' }, 'ERR_DIRTY_SOURCE'],
  [{ ringEntries: '4096', source: 'ring' }, 'ERR_INVALID_ARG_TYPE'],
  [{ ringEntries: 4095, source: 'ring' }, 'ERR_OUT_OF_RANGE'],
  [{ ringEntries: 512, source: 'ring' }, 'ERR_OUT_OF_RANGE'],
  [{ ringEntries: 131_072, source: 'ring' }, 'ERR_OUT_OF_RANGE'],
];

for (const [options, code] of wrong) {
  test(`${JSON.stringify(options)} is ${code}, for a memory and for a machine`, async () => {
    using memory = new KvmMemory(PAGE);
    assert.is(await codeOf(() => memory.enableDirtyTracking(options)), code);
    assert.is(memory.dirtySource, undefined);
    const create = { memory: PAGE, vcpus: 1, engine: 'host', dirtyTracking: options } as const;
    assert.is(await codeOf(VirtualMachine.create(create)), code);
  });
}

test('null and a string are no options', async () => {
  using memory = new KvmMemory(PAGE);
  for (const options of [null, 'pagemap'] as never[]) {
    assert.is(await codeOf(() => memory.enableDirtyTracking(options)), 'ERR_INVALID_ARG_TYPE');
  }
});

test('sources that need a VM are refused without one', async () => {
  using memory = new KvmMemory(PAGE);
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'bitmap' })), 'ERR_VM_NOT_ATTACHED');
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'ring' })), 'ERR_DIRTY_SOURCE');
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'ring', ringEntries: 4096 })), 'ERR_DIRTY_SOURCE');
  for (const source of ['bitmap', 'ring'] as const) {
    const create = VirtualMachine.create({ memory: PAGE, vcpus: 1, engine: 'host', dirtyTracking: { source } });
    assert.is(await codeOf(create), 'ERR_DIRTY_SOURCE');
  }
});

test.run();

// A value that cannot be stored: the error names where in it, nothing is stored, and the value is looked at once.

import { array, KvmMemory, struct, u8, u16le, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('layout: errors');

const layout = struct({
  first: u64le,
  header: struct({ count: u16le }),
  items: array(struct({ 'odd name': array(u8, 2) }), 2),
});
const good = () => ({ first: 1n, header: { count: 1 }, items: [{ 'odd name': [1, 2] }, { 'odd name': [3, 4] }] });

const bad: readonly [string, string, unknown][] = [
  ['value must be', 'ERR_INVALID_ARG_TYPE', null],
  ['value.first must be', 'ERR_INVALID_ARG_TYPE', { ...good(), first: 'x' }],
  ['value.header must be', 'ERR_INVALID_ARG_TYPE', { ...good(), header: 5 }],
  ['value.header.count must be', 'ERR_OUT_OF_RANGE', { ...good(), header: { count: 0x1_0000 } }],
  ['value.items must be', 'ERR_INVALID_ARG_TYPE', { ...good(), items: undefined }],
  ['value.items.length must be 2, got 0x1', 'ERR_OUT_OF_RANGE', { ...good(), items: [{ 'odd name': [1, 2] }] }],
  [
    'value.items[1]["odd name"][0] must be',
    'ERR_OUT_OF_RANGE',
    { ...good(), items: [{ 'odd name': [1, 2] }, { 'odd name': [-1, 2] }] },
  ],
];

for (const [message, code, value] of bad) {
  test(message, () => {
    using memory = new KvmMemory(4096);
    memory.memset(0, 0xaa, 4096);
    let error: { code?: string; message?: string } = {};
    try {
      memory.writeObj(0, layout, value as ReturnType<typeof good>);
    } catch (thrown) {
      error = thrown as typeof error;
    }
    assert.is(error.code, code);
    assert.ok(error.message?.startsWith(message), error.message);
    assert.ok(memory.view(0, 4096).every(byte => byte === 0xaa));
  });
}

test('a getter is asked once: it cannot show one value to the check and another to the store', () => {
  using memory = new KvmMemory(4096);
  let asked = 0;
  const header = {
    get count() {
      asked += 1;
      return asked === 1 ? 7 : 'seven';
    },
  };
  memory.writeObj(0, layout, { ...good(), header } as ReturnType<typeof good>);
  assert.is(asked, 1);
  assert.is(memory.readObj(0, layout).header.count, 7);
});

test.run();

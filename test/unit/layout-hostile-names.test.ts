// Field names become source code when a layout is compiled: whatever they contain, they stay names.

import { KvmMemory, struct, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('layout: hostile field names');

const names = [
  '__proto__',
  'constructor',
  '"',
  "'",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it must look like one.
  '`${globalThis.hacked = 1}`',
  '"]; globalThis.hacked = 1; //',
  '\\',
  '\u2028',
  '\n',
  '*/',
  '\ud800',
  '',
  'hasOwnProperty',
  '-1',
  '01',
];

test('each is written and read as an own property, and nothing runs', () => {
  using memory = new KvmMemory(4096);
  const fields = Object.fromEntries(names.map(name => [name, u8]));
  const value = Object.fromEntries(names.map((name, index) => [name, index + 1]));
  const layout = struct(fields);

  memory.writeObj(0, layout, value);
  const back = memory.readObj(0, layout);

  assert.equal(
    [...memory.view(0, names.length)],
    names.map((_name, index) => index + 1),
  );
  assert.equal(Object.entries(back), Object.entries(value));
  assert.is(Object.getPrototypeOf(back), Object.prototype);
  assert.is((globalThis as { hacked?: unknown }).hacked, undefined);
});

test.run();

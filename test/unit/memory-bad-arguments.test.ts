// Arguments that mean nothing: a coded error that names the value, and nothing has changed.

import { KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: bad arguments');

const PAGE = 4096;
const MIB = 2 ** 20;

const noNumbers: readonly [unknown, string][] = [
  [Number.NaN, 'ERR_OUT_OF_RANGE'],
  [-1, 'ERR_OUT_OF_RANGE'],
  [0.5, 'ERR_OUT_OF_RANGE'],
  [2 ** 53, 'ERR_OUT_OF_RANGE'],
  [-1n, 'ERR_OUT_OF_RANGE'],
  [2n ** 64n, 'ERR_OUT_OF_RANGE'],
  [Number.POSITIVE_INFINITY, 'ERR_OUT_OF_RANGE'],
  ['4096', 'ERR_INVALID_ARG_TYPE'],
  [null, 'ERR_INVALID_ARG_TYPE'],
  [undefined, 'ERR_INVALID_ARG_TYPE'],
  [{}, 'ERR_INVALID_ARG_TYPE'],
];

test('sizes of a memory', async () => {
  for (const [value, code] of noNumbers)
    assert.is(await codeOf(() => new KvmMemory(value as number)), code, String(value));
  assert.is(await codeOf(() => new KvmMemory(0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => new KvmMemory(PAGE + 1)), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => new KvmMemory(2 ** 52)), 'ERR_MEMORY_RANGE');
});

test('addresses and sizes of every method', async () => {
  using memory = new KvmMemory(MIB);
  const bytes = new Uint8Array(4);
  const calls: ((value: number) => unknown)[] = [
    value => memory.addRegion(value, PAGE),
    value => memory.addRegion(0x1000_0000, value),
    value => memory.addExternalRegion(value, 0x1000n, PAGE, false),
    value => memory.removeRegion(value),
    value => memory.setReadOnly(value, PAGE, true),
    value => memory.setReadOnly(0, value, true),
    value => memory.read(value, bytes),
    value => memory.write(value, bytes),
    value => memory.readObj(value, u32le),
    value => memory.writeObj(value, u32le, 1),
    value => memory.memset(value, 0, 1),
    value => memory.memset(0, 0, value),
    value => memory.view(value, 1),
    value => memory.view(0, value),
    value => memory.getHostAddress(value),
    value => memory.atomics.load(value, u32le),
  ];
  for (const [index, call] of calls.entries()) {
    for (const [value, code] of noNumbers)
      assert.is(await codeOf(() => call(value as number)), code, `call ${index}, ${String(value)}`);
  }
  assert.is(memory.regions().length, 1);
  assert.ok(memory.view(0, MIB).every(byte => byte === 0));
});

test('misaligned and empty regions', async () => {
  using memory = new KvmMemory(MIB);
  assert.is(await codeOf(() => memory.addRegion(0x1000_0001, PAGE)), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => memory.addRegion(0x1000_0000, PAGE - 1)), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => memory.addRegion(0x1000_0000, 0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.setReadOnly(1, PAGE, true)), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => memory.addExternalRegion(0x1000_0000, 0x1001n, PAGE, false)), 'ERR_MEMORY_ALIGNMENT');
});

test('what wraps or is beyond everything', async () => {
  using memory = new KvmMemory(MIB);
  const last = Number.MAX_SAFE_INTEGER - PAGE + 1;
  assert.is(await codeOf(() => memory.addRegion(last, 2 * PAGE)), 'ERR_MEMORY_RANGE');
  assert.is(await codeOf(() => memory.read(Number.MAX_SAFE_INTEGER, new Uint8Array(2))), 'ERR_MEMORY_RANGE');
  assert.is(await codeOf(() => memory.memset(Number.MAX_SAFE_INTEGER, 0, Number.MAX_SAFE_INTEGER)), 'ERR_MEMORY_RANGE');
});

test('other types', async () => {
  using memory = new KvmMemory(MIB);
  const wrong = 'ERR_INVALID_ARG_TYPE';
  assert.is(await codeOf(() => memory.read(0, [1, 2] as never)), wrong);
  assert.is(await codeOf(() => memory.write(0, new Uint16Array(2) as never)), wrong);
  assert.is(await codeOf(() => memory.write(0, undefined as never)), wrong);
  assert.is(await codeOf(() => memory.readObj(0, {} as typeof u32le)), wrong);
  assert.is(await codeOf(() => memory.writeObj(0, undefined as never, 1 as never)), wrong);
  assert.is(await codeOf(() => memory.memset(0, '1' as never, 1)), wrong);
  assert.is(await codeOf(() => memory.memset(0, 256, 1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.memset(0, -1, 1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.setReadOnly(0, PAGE, 1 as never)), wrong);
  assert.is(await codeOf(() => memory.addExternalRegion(0x1000_0000, 4096 as never, PAGE, false)), wrong);
  assert.is(await codeOf(() => memory.setDirtyTrackingEnabled('yes' as never)), wrong);
  assert.is(await codeOf(() => memory.dumpAll([] as never)), wrong);
  assert.is(await codeOf(() => memory.attachVmFd('3' as never)), wrong);
  assert.is(await codeOf(() => memory.attachVmFd(-1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => KvmMemory.attach({} as never)), wrong);
  assert.is(await codeOf(() => KvmMemory.attach({ kind: 'node-kvm.memory' } as never)), wrong);
  assert.is(await codeOf(() => KvmMemory.attach({ ...memory.handle, header: new SharedArrayBuffer(4) })), wrong);
});

test('options', async () => {
  using memory = new KvmMemory(MIB);
  const make = (options: unknown) => codeOf(() => new KvmMemory(MIB, options as object));
  assert.is(await make({ backings: 'memfd' }), 'ERR_UNKNOWN_OPTION');
  assert.is(await make({ readOnly: true }), 'ERR_UNKNOWN_OPTION');
  assert.is(await make({ backing: 'disk' }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ backing: { file: 5 } }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make({ backing: { file: '/x', sync: true } }), 'ERR_UNKNOWN_OPTION');
  assert.is(await make({ hugePages: '4M' }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ hugePages: '2M', backing: 'wasm' }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ prefault: 0 }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ prefault: 'all' }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make(null), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.addRegion(MIB, PAGE, { contents: 'text' as never })), 'ERR_INVALID_ARG_TYPE');
  assert.is(
    await codeOf(() => memory.addRegion(MIB, PAGE, { contents: new Uint8Array(PAGE + 1) })),
    'ERR_MEMORY_RANGE',
  );
  assert.is(await codeOf(() => memory.addRegion(MIB, PAGE, { readOnly: 1 as never })), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'ring' as never })), 'ERR_DIRTY_SOURCE');
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'bitmap' })), 'ERR_VM_NOT_ATTACHED');
  assert.is(memory.regions().length, 1);
});

test('the message names the value in hexadecimal', () => {
  using memory = new KvmMemory(MIB);
  assert.throws(() => memory.addRegion(0x1234_5678, PAGE), /0x12345678/);
  assert.throws(() => memory.read(0xabc_0000, new Uint8Array(1)), /0xabc0000/);
});

test.run();

// The end of a memory: idempotent, every method says so afterwards, views stay valid.

import { KvmMemory, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: dispose');

test('everything throws ERR_DISPOSED, a view of before does not', async () => {
  const memory = new KvmMemory(0x10000);
  memory.enableDirtyTracking();
  memory.writeObj(5, u8, 7);
  const view = memory.view(0, 16);
  const harvest = memory.harvest();
  const { atomics } = memory;
  memory[Symbol.dispose]();
  memory[Symbol.dispose]();

  for (const call of [
    () => memory.size(),
    () => memory.addressLimit(),
    () => memory.regions(),
    () => memory.readObj(0, u8),
    () => memory.writeObj(0, u8, 1),
    () => memory.read(0, new Uint8Array(1)),
    () => memory.read(0, new Uint8Array(0)),
    () => memory.write(0, new Uint8Array(1)),
    () => memory.memset(0, 0, 1),
    () => memory.view(0, 1),
    () => memory.dumpAll(new Uint8Array(0x10000)),
    () => memory.getHostAddress(0),
    () => memory.hostAddress(),
    () => memory.handle,
    () => atomics.load(0, u8),
    () => memory.addRegion(0x1000_0000, 4096),
    () => memory.removeRegion(0),
    () => memory.setReadOnly(0, 4096, true),
    () => memory.enableDirtyTracking(),
    () => memory.disableDirtyTracking(),
    () => memory.getDirtyPages(),
    () => memory.harvest(),
    () => memory.attachVmFd(0),
    () => memory.registerSlot(0, 0, 4096, 4096n, 0),
    () => memory.unregisterSlot(0),
  ]) {
    assert.is(await codeOf(call), 'ERR_DISPOSED', String(call));
  }
  assert.is(view[5], 7);
  harvest.abort();
});

test('a using declaration ends it', async () => {
  let outside: KvmMemory;
  {
    using memory = new KvmMemory(4096);
    outside = memory;
  }
  assert.is(await codeOf(() => outside.size()), 'ERR_DISPOSED');
});

test.run();

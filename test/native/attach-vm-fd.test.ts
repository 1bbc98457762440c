// attachVmFd() takes a raw descriptor: a closed one, one that is no VM's, and one whose number is used again later.

import { closeSync, openSync } from 'node:fs';
import { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { kvmDevice, kvmSuite } from '../harness.ts';

const test = kvmSuite('attachVmFd');

test('a closed descriptor', async () => {
  using memory = new KvmMemory(1 << 20);
  const fd = openSync('/dev/null', 'r');
  closeSync(fd);

  assert.match(await codeOf(() => memory.attachVmFd(fd)), /^ERR_(SYSCALL|NOT_A_VM)$/);
  assert.is(await codeOf(() => memory.attachVmFd(-1)), 'ERR_OUT_OF_RANGE');
});

test('a descriptor of something else', async () => {
  using memory = new KvmMemory(1 << 20);
  const fd = openSync('/dev/null', 'r');
  const system = openSync(kvmDevice, 'r+');

  assert.is(await codeOf(() => memory.attachVmFd(fd)), 'ERR_NOT_A_VM');
  assert.is(await codeOf(() => memory.attachVmFd(system)), 'ERR_NOT_A_VM');

  closeSync(fd);
  closeSync(system);
});

test('the number is used again for something else: the memory keeps the VM that it was given', () => {
  using memory = new KvmMemory(1 << 20);
  const system = native().openSystem(kvmDevice);
  const vm = system.createVm();
  const number = vm.fd;
  memory.attachVmFd(number);
  vm.close();
  const reused = openSync('/dev/null', 'r');

  memory.addRegion(0x1000_0000, 0x1000);
  memory.enableDirtyTracking();
  memory.write(0x1000_0000, Uint8Array.of(1));

  assert.is(reused, number);
  assert.equal(
    memory.getDirtyPages().map(({ guestAddr, size }) => [Number(guestAddr), Number(size)]),
    [[0x1000_0000, 4096]],
  );
  closeSync(reused);
  system.close();
});

test.run();

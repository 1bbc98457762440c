// A machine is made while the event loop is busy for longer than an attaching thread waits for an answer.

import { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('busy event loop');

test('create()', async () => {
  const creating = VirtualMachine.create({ memory: 4 << 20, vcpus: 1, engine: 'kvm' });
  const until = performance.now() + 2000;
  while (performance.now() < until);

  await using vm = await creating;
  assert.is(vm.state, 'created');
});

test.run();

// Without a KVM device: engine 'kvm' says that it is missing, 'auto' takes the host engine. Needs no KVM: it hides the device.

import { VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('hidden device');

test.before(() => {
  process.env['NODE_KVM_DEVICE'] = '/dev/no-such-kvm';
});

test("engine 'kvm' is refused and names the device", async () => {
  const refused = VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm' });

  assert.is(await codeOf(refused), 'ERR_KVM_UNAVAILABLE');
  assert.match(String(await refused.catch(String)), '/dev/no-such-kvm');
});

test("engine 'auto' takes the host engine", async () => {
  await using vm = await VirtualMachine.create({ memory: 1 << 20, vcpus: 1 });

  assert.is(vm.engine, 'host');
});

test.run();

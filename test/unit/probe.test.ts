// probe(): true facts about this machine, in a form that survives JSON, and an honest no where KVM is hidden.

import { existsSync } from 'node:fs';
import { probe } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WITHOUT_KVM } from '../command.ts';

const test = suite('probe');
const device = process.env['NODE_KVM_DEVICE'];
test.after.each(() => {
  if (device === undefined) delete process.env['NODE_KVM_DEVICE'];
  else process.env['NODE_KVM_DEVICE'] = device;
});

test('facts survive JSON', () => {
  const facts = probe();
  assert.equal(JSON.parse(JSON.stringify(facts)), facts);
});

test('it agrees with the machine about KVM, Node and external buffers', () => {
  const facts = probe();
  assert.is(facts.kvm.present, existsSync(facts.kvm.device));
  assert.is(facts.node.version, process.version);
  assert.is(facts.node.externalBuffers.available, true, facts.node.externalBuffers.reason);
  assert.is(facts.engines.host.available, true);
  assert.is(facts.engines.kvm.available, facts.kvm.usable);
  if (facts.kvm.usable) assert.ok(facts.kvm.apiVersion === 12 && (facts.kvm.limits?.memorySlots ?? 0) >= 32);
});

test('without the device: not present, a reason, a remedy, engine host left', () => {
  process.env['NODE_KVM_DEVICE'] = WITHOUT_KVM.NODE_KVM_DEVICE;
  const { kvm, engines, dirtyTracking } = probe();
  assert.is(kvm.present, false);
  assert.is(kvm.usable, false);
  assert.ok(kvm.problem?.includes(WITHOUT_KVM.NODE_KVM_DEVICE));
  assert.ok(kvm.remedy);
  assert.equal(kvm.capabilities, {});
  assert.is(engines.kvm.available, false);
  assert.is(engines.host.available, true);
  assert.is(dirtyTracking.bitmap.available, false);
});

test('a device that is not KVM is reported, not believed', () => {
  process.env['NODE_KVM_DEVICE'] = '/dev/null';
  const { kvm } = probe();
  assert.is(kvm.present, true);
  assert.is(kvm.usable, false);
  assert.ok(kvm.problem);
});

test('probing again and again leaves no descriptor behind', async () => {
  const { readdirSync } = await import('node:fs');
  probe();
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 20; i++) probe();
  assert.ok(readdirSync('/proc/self/fd').length <= before);
});

test.run();

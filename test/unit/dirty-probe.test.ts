// probeDirtySources(): what it says agrees with what the sources do, anywhere, and it leaves nothing behind.

import { Worker } from 'node:worker_threads';
import { KvmMemory, probeDirtySources, VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WITHOUT_KVM } from '../command.ts';
import { dirtyPages, PAGE } from '../dirty-pages.ts';
import { codeOf } from '../errors.ts';
import { hasKvm } from '../harness.ts';
import { fdCount, threadCount } from '../process-state.ts';

const test = suite('dirty: probe');
const device = process.env['NODE_KVM_DEVICE'];
test.after.each(() => {
  if (device === undefined) delete process.env['NODE_KVM_DEVICE'];
  else process.env['NODE_KVM_DEVICE'] = device;
});

test('every source has a verdict, a reason, and writers that fit it', () => {
  const sources = probeDirtySources();
  assert.equal(Object.keys(sources).sort(), ['bitmap', 'host', 'pagemap', 'ring']);
  for (const { available, reason, seen } of Object.values(sources)) {
    assert.ok(reason.length > 0);
    if (available) assert.is(seen.api, true);
  }
  assert.equal(sources.host.seen, { guest: null, api: true, rawHost: false });
  if (hasKvm) assert.equal(sources.bitmap.seen, { guest: true, api: true, rawHost: false });
  if (sources.pagemap.available) {
    assert.equal(sources.pagemap.seen, { guest: hasKvm ? true : null, api: true, rawHost: true });
  }
});

test('a source that is not offered is refused with that reason', async () => {
  const sources = probeDirtySources();
  const creations = (['pagemap', 'ring'] as const)
    .filter(source => !sources[source].available)
    .map(source => ({ source, create: { memory: PAGE, vcpus: 1, dirtyTracking: { source } } as const }));
  for (const { source, create } of creations) {
    const error = await VirtualMachine.create(create).catch((thrown: Error) => thrown);
    assert.instance(error, Error);
    assert.is(await codeOf(Promise.reject(error)), 'ERR_DIRTY_SOURCE');
    if (hasKvm) assert.ok((error as Error).message.includes(sources[source].reason));
  }
});

test('asked again, it answers at once with the same objects', () => {
  const first = probeDirtySources();
  const second = probeDirtySources();
  assert.is(first.pagemap, second.pagemap);
  assert.is(first.bitmap, second.bitmap);
});

test('without KVM nothing that needs it is offered, and pagemap is as good as before for the host', () => {
  const with_ = probeDirtySources();
  process.env['NODE_KVM_DEVICE'] = WITHOUT_KVM.NODE_KVM_DEVICE;
  const without = probeDirtySources();
  assert.is(without.bitmap.available, false);
  assert.ok(without.bitmap.reason.includes(WITHOUT_KVM.NODE_KVM_DEVICE));
  assert.is(without.ring.available, false);
  assert.is(without.host.available, true);
  assert.is(without.pagemap.available, with_.pagemap.available);
});

test('a device that is no KVM is a reason, never an exception', () => {
  process.env['NODE_KVM_DEVICE'] = '/dev/null';
  const { bitmap, ring, host } = probeDirtySources();
  assert.is(bitmap.available, false);
  assert.is(ring.available, false);
  assert.is(host.available, true);
});

test('nothing is left behind: descriptors and threads', () => {
  probeDirtySources();
  const before = { fds: fdCount(), threads: threadCount() };
  for (let round = 0; round < 5; round++) {
    // Another name of the device, so that it is probed anew.
    process.env['NODE_KVM_DEVICE'] = `/${'./'.repeat(round + 1)}dev/kvm`;
    probeDirtySources();
  }
  assert.equal({ fds: fdCount(), threads: threadCount() }, before);
});

test('in a worker it finds the same', async () => {
  const program = `
    const { parentPort } = require('node:worker_threads');
    import('node-kvm').then(({ probeDirtySources }) => parentPort.postMessage(probeDirtySources()));`;
  const worker = new Worker(program, { eval: true });
  const found = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await worker.terminate();
  assert.equal(found, probeDirtySources());
});

test("'auto' takes what was found", () => {
  using memory = new KvmMemory(4 * PAGE);
  memory.enableDirtyTracking();
  assert.is(memory.dirtySource, probeDirtySources().pagemap.available ? 'pagemap' : 'host');
  memory.memset(PAGE, 1, 1);
  assert.equal(dirtyPages(memory), [1]);
});

test.run();

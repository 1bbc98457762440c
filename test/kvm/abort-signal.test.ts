// An AbortSignal ends a machine, and keeps one from being made when it was aborted before.

import { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { startSpinning } from '../spinning-guest.ts';

const test = kvmSuite('abort signal');

test("aborting ends a running machine with reason 'stopped'", async () => {
  const controller = new AbortController();
  await using vm = await startSpinning({ signal: controller.signal });

  controller.abort();

  assert.is((await vm.finished).reason, 'stopped');
});

test('a signal that was aborted before: ERR_ABORTED, no machine', async () => {
  const create = VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm', signal: AbortSignal.abort() });

  assert.is(await codeOf(create), 'ERR_ABORTED');
});

test.run();

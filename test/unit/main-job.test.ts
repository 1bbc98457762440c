// The main job without KVM: the same work as a program on engine 'host', every figure correct, and it says which engine.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runScript, WITHOUT_KVM } from '../command.ts';

const test = suite('main job without KVM');

test('every figure is correct, and the report says why it is engine host', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/main-job.js', [], { env: WITHOUT_KVM });
  assert.is(status, 0, stdout + stderr);
  assert.match(stdout, /engine host, since there is no/);
  assert.match(stdout, /everything is correct/);
});

test.run();

// The main job on KVM: every figure correct, as JSON; the counter, the dirty pages and the doorbells are all in it.

import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('main job');

test('every figure is correct', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/main-job.js', ['--json']);
  assert.is(status, 0, stdout + stderr);
  const report = JSON.parse(stdout);
  assert.is(report.correct, true);
  assert.is(report.engine, 'kvm');
  assert.ok(report.figures.length >= 9);
  assert.ok(report.measured['exits per second and vCPU (/s)'] > 0);
});

test('README example: 300000', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/hello.js', []);
  assert.is(status, 0, stderr);
  assert.is(stdout, 'halt 300000\n');
});

test.run();

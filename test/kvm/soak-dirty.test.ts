// The dirty soak, briefly: each source of this machine ends with equal copies. What `npm run soak:dirty` does for as long as one likes.

import { probeDirtySources } from 'node-kvm';
import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { hasKvm, kvmSuite, suiteUnless } from '../harness.ts';
import { repeats } from '../slowness.ts';
import { columnOf, SOAK_SOURCES, type SoakReport } from '../soak/run.ts';

const HARVESTS = repeats(100);
const run = (...args: string[]) => runScript('build/test/soak/dirty.js', args, { timeoutMs: 120_000 });

for (const source of SOAK_SOURCES) {
  const { available, reason } = probeDirtySources()[columnOf(source)];
  const missing = available ? undefined : reason;
  const test = hasKvm ? suiteUnless(missing, `soak: ${source}`) : kvmSuite(`soak: ${source}`);

  test('equal copies after some harvests', async () => {
    const { status, stdout, stderr } = await run(
      '--source',
      source,
      '--harvests',
      `${HARVESTS}`,
      '--seed',
      '20',
      '--json',
    );
    assert.is(status, 0, `${stderr}${stdout}`);
    const [report] = JSON.parse(stdout) as [SoakReport];
    assert.is(report.source, source);
    assert.equal(report.problems, []);
    assert.ok(report.harvests >= HARVESTS && report.pages > 0 && report.rounds > 1, stdout);
  });

  test.run();
}

const usage = kvmSuite('soak: usage');

usage('wrong usage ends with 2 and says what is right', async () => {
  for (const args of [['--source', 'log'], ['--seconds', '-1'], ['--harvests', 'many'], ['--what']]) {
    const { status, stderr } = await run(...args);
    assert.is(status, 2, args.join(' '));
    assert.match(stderr, /usage: npm run soak:dirty/);
  }
});

usage.run();

// The dirty soak, briefly, of one source: it ends with equal copies. What `npm run soak:dirty` does for as long as one likes. A file for each
// source: where everything is slow, one after the other would take longer than a file may.

import { probeDirtySources } from 'node-kvm';
import * as assert from 'uvu/assert';
import { runScript } from './command.ts';
import { hasKvm, kvmSuite, suiteUnless } from './harness.ts';
import { repeats } from './slowness.ts';
import { columnOf, type SoakReport, type SoakSource } from './soak/run.ts';

const HARVESTS = repeats(100);

/** `npm run soak:dirty` with these arguments. */
export const runSoak = (...args: string[]) => runScript('build/test/soak/dirty.js', args, { timeoutMs: 120_000 });

/** A suite with one test, which it runs. */
export function soakSuite(source: SoakSource): void {
  const { available, reason } = probeDirtySources()[columnOf(source)];
  const missing = available ? undefined : reason;
  const test = hasKvm ? suiteUnless(missing, `soak: ${source}`) : kvmSuite(`soak: ${source}`);

  test('equal copies after some harvests', async () => {
    const { status, stdout, stderr } = await runSoak(
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

// The dirty soak, briefly: every source of this machine, each in a process of its own, ends with equal copies. What `npm run soak:dirty` does for
// as long as one likes.

import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('soak: dirty');

interface Outcome {
  readonly source: string;
  readonly missing?: string;
  readonly harvests: number;
  readonly pages: number;
  readonly rounds: number;
  readonly problems: readonly string[];
}

test('all sources, in some hundred harvests', async () => {
  const args = ['--harvests', '150', '--seed', '20', '--json'];
  const { status, stdout, stderr } = await runScript('build/test/soak/dirty.js', args, { timeoutMs: 120_000 });
  assert.is(status, 0, `${stderr}${stdout}`);
  const outcomes = JSON.parse(stdout) as Outcome[];
  assert.equal(
    outcomes.map(({ source }) => source),
    ['bitmap', 'bitmap-manual', 'ring', 'pagemap', 'host'],
  );
  const run = outcomes.filter(({ missing }) => missing === undefined);
  assert.ok(run.some(({ source }) => source === 'bitmap') && run.some(({ source }) => source === 'host'));
  for (const { source, harvests, pages, rounds, problems } of run) {
    assert.equal(problems, [], source);
    assert.ok(harvests >= 150 && pages > 0 && rounds > 1, `${source}: ${harvests} harvests, ${pages} pages`);
  }
});

test('wrong usage ends with 2 and says what is right', async () => {
  for (const args of [['--source', 'log'], ['--seconds', '-1'], ['--harvests', 'many'], ['--what']]) {
    const { status, stderr } = await runScript('build/test/soak/dirty.js', args);
    assert.is(status, 2, args.join(' '));
    assert.match(stderr, /usage: npm run soak:dirty/);
  }
});

test.run();

// Progress of a run of the lab where there is no terminal: a line now and then with the time left, and nothing that moves a cursor.

import { Writable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { leftText, showBenchProgress } from '../../src/main/cli/bench-progress.ts';

const test = suite('bench progress');

test('a line at once, then at most one each 10 s', () => {
  let text = '';
  const stream = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  let now = 0;
  const progress = showBenchProgress(stream, () => now);
  for (; now <= 30_000; now += 1000) progress.update(now / 60_000, 'stream/triad js:2');
  progress.end();
  assert.equal(text.split('\n'), [
    'node-kvm: 0 %, time left unknown: stream/triad js:2',
    'node-kvm: 16 %, 50 s left: stream/triad js:2',
    'node-kvm: 33 %, 40 s left: stream/triad js:2',
    'node-kvm: 50 %, 30 s left: stream/triad js:2',
    '',
  ]);
});

test('the time left: from how long the rest took; unknown in the beginning', () => {
  assert.is(leftText(0, 100), 'time left unknown');
  assert.is(leftText(0.25, 60_000), '3:00 min left');
  assert.is(leftText(1, 60_000), '0 s left');
  assert.is(leftText(1.01, 60_000), '0 s left');
});

test.run();

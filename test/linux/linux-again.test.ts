// Ten boots in a row, in one process: each comes to its end, and nothing is left of it.

import * as assert from 'uvu/assert';
import { bootLinux, FIRST_LINE, linuxSuite } from '../linux-guest.ts';
import { leftovers } from '../process-state.ts';

const test = linuxSuite('linux again and again');

test('ten boots', async () => {
  const boot = async () => {
    const { result, text, marks } = await bootLinux({ cmdline: 'console=ttyS0 panic=-1 quiet' });
    assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
    assert.match(text, new RegExp(FIRST_LINE));
    assert.ok(marks.init !== undefined);
  };
  await boot();
  const before = leftovers();
  for (let boots = 1; boots < 10; boots += 1) await boot();
  const { fds, threads } = leftovers(before);
  assert.equal({ fds, threads }, { fds: 0, threads: 0 });
});

test.run();

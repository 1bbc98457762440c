// The dirty soak with the API's own marks; and what its command line says to wrong usage.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { runSoak, soakSuite } from '../soak-suite.ts';

soakSuite('host');

const usage = kvmSuite('soak: usage');

usage('wrong usage ends with 2 and says what is right', async () => {
  for (const args of [['--source', 'log'], ['--seconds', '-1'], ['--harvests', 'many'], ['--what']]) {
    const { status, stderr } = await runSoak(...args);
    assert.is(status, 2, args.join(' '));
    assert.match(stderr, /usage: npm run soak:dirty/);
  }
});

usage.run();

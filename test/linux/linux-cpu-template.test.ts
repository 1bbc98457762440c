// Debian's kernel on a processor of the level x86-64-v2: it boots, and its /proc/cpuinfo has what the level has.

import * as assert from 'uvu/assert';
import { bootLinux, facts, linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux with a cpuTemplate');
const job = "echo flags=$(grep -m 1 ^flags /proc/cpuinfo | sed 's/.*: //')";

test('x86-64-v2', async () => {
  const { result, text } = await bootLinux({ job, cpuTemplate: 'x86-64-v2' });
  assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
  const flags = new Set((facts(text).get('flags') ?? '').split(' '));
  for (const flag of ['sse2', 'ssse3', 'sse4_2', 'popcnt', 'cx16', 'lahf_lm', 'nx', 'lm'])
    assert.ok(flags.has(flag), flag);
  for (const flag of ['xsave', 'avx', 'avx2', 'fma', 'bmi2', 'aes', 'rdrand', 'sha_ni', 'svm'])
    assert.not(flags.has(flag), flag);
});

test.run();

// Some sessions of the fuzzer for every parser: what is damaged is refused or harmless, and enough is accepted to come past the first checks.
// FC_SEED=<seed> replays, HOSTILE_RUNS=<sessions> does more; `npm run fuzz` does it for as long as one likes. Without KVM.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { PARSERS, runSession, SESSION_INPUTS } from '../soak/parsers/all.ts';

const test = suite('fuzz');
const seed = Number(process.env['FC_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const SESSIONS = Math.ceil(Number(process.env['HOSTILE_RUNS'] ?? 300) / 100);

for (const parser of PARSERS) {
  test(`${parser.name}, seed ${seed}`, async () => {
    let accepted = 0;
    for (let session = 0; session < SESSIONS; session++)
      accepted += await runSession(parser, seed, session, SESSION_INPUTS);
    const share = accepted / (SESSIONS * SESSION_INPUTS);
    assert.ok(share > 0.1 && share < 0.99, `${Math.round(100 * share)} % were accepted`);
  });
}

test('the same numbers make the same session', async () => {
  for (const parser of PARSERS)
    assert.is(await runSession(parser, 7, 3, 100), await runSession(parser, 7, 3, 100), parser.name);
});

test('the command: a report of what was done, and its seed; wrong usage', async () => {
  const run = (...args: string[]) => runScript('build/test/soak/fuzz.js', args);
  const { status, stdout } = await run('--inputs', '1200', '--seed', '5');
  assert.is(status, 0);
  assert.match(stdout, /1200 inputs in .* s, seed 5: all right/);
  for (const args of [['--inputs', 'x'], ['--parser', 'none'], ['--seed', '-1'], ['--what']])
    assert.is((await run(...args)).status, 2, String(args));
});

test.run();

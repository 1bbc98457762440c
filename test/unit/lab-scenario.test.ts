// What a scenario may say, and what it becomes: defaults, mixes of actors, and errors that name path and value.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorsOf, defaultMixes, teamCounts } from '../../src/main/lab/actor-mix.ts';
import { checkScenario, type LabHost } from '../../src/main/lab/scenario-schema.ts';

const test = suite('lab: scenario');
const HOST: LabHost = { cpus: 4, hasKvm: true, memoryBytes: 2 ** 30 };

/** Code and message of what the check throws. */
function refusal(input: unknown, host: LabHost = HOST): { code: string; message: string } {
  try {
    checkScenario(input, host);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  throw new Error(`accepted: ${JSON.stringify(input)}`);
}

const wrong: [name: string, input: unknown, told: RegExp][] = [
  ['no object', [], /must be object/],
  ['an unknown key', { actor: ['js:1'] }, /no key 'actor'.*actors/],
  ['an unknown suite', { suites: ['stream', 'steam'] }, /\/suites\/1.*'steam'.*stream/],
  ['an unknown workload', { suites: ['stream/quad'] }, /\/suites\/0.*'stream\/quad'/],
  ['no suites', { suites: [] }, /\/suites/],
  ['an unknown kind', { actors: ['java:1'] }, /'java:1'.*js, wasm, guest, c/],
  ['no actor', { actors: ['js:0'] }, /'js:0'/],
  ['a kind twice', { actors: ['js:1+js:1'] }, /'js:1\+js:1'.*js twice/],
  ['a mix twice', { actors: ['js:1', 'js:1'] }, /\/actors/],
  ['more actors than CPUs', { actors: ['js:1', 'guest:3+js:2'] }, /\/actors\/1.*5 actors.*4/],
  ['more actors than there can be', { actors: ['js:33'] }, /'js:33'.*32/],
  ['no size', { sizes: ['big'] }, /\/sizes\/0.*'big'/],
  ['a size of nothing', { sizes: [0] }, /\/sizes\/0: 0 /],
  ['a size below the least', { sizes: ['1K'] }, /\/sizes\/0: '1K'.*16K/],
  ['a size that is no multiple', { sizes: ['1M', 1_000_001] }, /\/sizes\/1: 1000001/],
  ['a size beyond the arena', { sizes: ['3G'] }, /\/sizes\/0: '3G'/],
  ['a size beyond the memory', { sizes: ['2G'] }, /\/sizes\/0: '2G'.*1024M/],
  ['a size twice', { sizes: ['1M', 1024 * 1024] }, /\/sizes\/1: 1048576.*twice/],
  ['no source', { sources: [] }, /\/sources/],
  ['extra visits below none', { extraVisits: -1 }, /\/extraVisits: -1/],
  ['an unknown source', { sources: ['bitmap', 'guess'] }, /\/sources\/1: 'guess'.*bitmap, ring/],
  ['a seed of 0', { seed: 0 }, /\/seed: 0/],
  ['a seed that is too big', { seed: 2 ** 32 }, /\/seed: 4294967296/],
  ['too few visits', { visits: 4 }, /\/visits: 4/],
  ['no repetitions', { repetitions: 0 }, /\/repetitions: 0/],
  ['text for a number', { repetitionMs: '5' }, /\/repetitionMs: '5'/],
  ['a bigint', { seed: 5n }, /\/seed: 5n/],
  ['a hole in a list', { sizes: [undefined] }, /\/sizes\/0: undefined/],
];
for (const [name, input, told] of wrong) {
  test(`refuses ${name}`, () => {
    const { code, message } = refusal(input);
    assert.is(code, 'ERR_LAB_SCENARIO');
    assert.match(message, told);
  });
}

test('refuses more actors than a team has, their C threads counted', () => {
  const { code, message } = refusal({ actors: ['js:12', 'wasm:12'] }, { ...HOST, cpus: 64 });
  assert.is(code, 'ERR_LAB_SCENARIO');
  assert.match(message, /36 actors/);
});

test('guests without KVM are refused by the code of the missing KVM', () => {
  const { code, message } = refusal({ actors: ['js:1', 'guest:1'] }, { ...HOST, hasKvm: false });
  assert.is(code, 'ERR_KVM_UNAVAILABLE');
  assert.match(message, /\/actors\/1.*'guest:1'/);
});

test('a scenario of nothing has all defaults, which are a valid scenario', () => {
  const scenario = checkScenario({}, HOST);
  assert.ok(scenario.suites.includes('stream'));
  assert.ok(scenario.seed >= 1 && scenario.seed < 2 ** 32);
  assert.equal(scenario.actors, defaultMixes(HOST.cpus, true));
  assert.equal(checkScenario(scenario, HOST), scenario);
});

test('what is said stands, sizes in bytes; quick changes only what is not said', () => {
  const said = { actors: ['js:2'], sizes: ['64K', 1 << 20], seed: 7, visits: 9, quick: true, suites: ['stream/copy'] };
  const scenario = checkScenario(said, HOST);
  assert.equal(scenario.sizes, [64 * 1024, 1 << 20]);
  assert.equal(scenario.actors, ['js:2']);
  assert.equal(scenario.suites, ['stream/copy']);
  assert.is(scenario.seed, 7);
  assert.is(scenario.visits, 9);
  assert.ok(scenario.repetitionMs < checkScenario({}, HOST).repetitionMs);
});

test('actors of a mix come in its order, numbered within their kind', () => {
  assert.equal(actorsOf('guest:1+js:2'), [
    { kind: 'guest', index: 0 },
    { kind: 'js', index: 0 },
    { kind: 'js', index: 1 },
  ]);
});

test('a team has as many of each kind as the largest mix needs, and C threads for its baseline', () => {
  assert.equal(teamCounts(['js:2', 'guest:1+js:1', 'guest:2+wasm:1']), { js: 2, wasm: 1, guest: 2, c: 3 });
});

test('the choice for a machine fits into a team, whatever its CPUs; without KVM it has no guests', () => {
  for (const cpus of [1, 2, 3, 8, 48, 512]) {
    for (const hasKvm of [true, false]) {
      const host = { ...HOST, cpus, hasKvm };
      const { actors } = checkScenario({}, host);
      assert.is(
        actors.some(mix => mix.includes('guest')),
        hasKvm,
      );
    }
  }
  assert.equal(defaultMixes(2, true), ['js:1', 'js:2', 'wasm:1', 'wasm:2', 'guest:1', 'guest:2', 'guest:1+js:1']);
});

test.run();

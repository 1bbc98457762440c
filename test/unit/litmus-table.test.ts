// The litmus tests' tables against models that try everything: a machine with store buffers for x86-TSO, the specification's rules for ECMAScript.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  fieldsOf,
  isForbidden,
  LITMUS_THREADS_MAX,
  type LitmusModel,
  type LitmusTest,
  outcomesOf,
  outcomeText,
} from '../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../shared/lab/litmus-tests.ts';
import { ecmascriptOutcomes } from '../litmus/ecmascript-model.ts';
import { machineOutcomes } from '../litmus/machine-model.ts';

const test = suite('litmus table');

const idOf = ({ name, access }: LitmusTest) => `${name}/${access}`;
const allOutcomes = (litmus: LitmusTest) => {
  const fields = fieldsOf(litmus);
  return outcomesOf(fields).map(values => outcomeText(fields, values));
};
const allowedByTable = (litmus: LitmusTest, model: LitmusModel) =>
  allOutcomes(litmus).filter(outcome => !isForbidden(litmus, model, outcome));

for (const litmus of LITMUS_TESTS) {
  test(`${idOf(litmus)}: the table allows what x86-TSO can do, and nothing else`, () => {
    assert.equal(allowedByTable(litmus, 'x86-tso').sort(), [...machineOutcomes(litmus, 'tso')].sort());
  });

  test(`${idOf(litmus)}: the table allows what ECMA-262 allows, and nothing else`, () => {
    assert.equal(allowedByTable(litmus, 'ecmascript').sort(), [...ecmascriptOutcomes(litmus)].sort());
  });
}

test('atomic accesses to the same words are sequentially consistent in both models', () => {
  const atomic = LITMUS_TESTS.filter(
    ({ threads, access }) => access === 'atomic' && threads.flat().every(op => op.atomic),
  );
  assert.ok(atomic.length >= 12);
  for (const litmus of atomic) {
    const expected = [...machineOutcomes(litmus, 'sc')].sort();
    assert.equal(allowedByTable(litmus, 'x86-tso').sort(), expected, idOf(litmus));
    assert.equal(allowedByTable(litmus, 'ecmascript').sort(), expected, idOf(litmus));
  }
});

test('whatever x86-TSO allows with the code as written, ECMA-262 allows: the mixed rule never accuses a processor', () => {
  for (const litmus of LITMUS_TESTS)
    for (const outcome of machineOutcomes(litmus, 'tso'))
      assert.not(isForbidden(litmus, 'ecmascript', outcome), `${idOf(litmus)} ${outcome}`);
});

test('each target is an outcome that no interleaving gives', () => {
  for (const litmus of LITMUS_TESTS) {
    assert.ok(allOutcomes(litmus).includes(litmus.target), `${idOf(litmus)} ${litmus.target}`);
    assert.not(machineOutcomes(litmus, 'sc').has(litmus.target), idOf(litmus));
  }
});

test('names are unique, threads and operations within limits, registers used once, patterns agree with some outcome', () => {
  assert.is(new Set(LITMUS_TESTS.map(idOf)).size, LITMUS_TESTS.length);
  for (const litmus of LITMUS_TESTS) {
    const registers = litmus.threads.flat().flatMap(op => (op.kind === 'store' ? [] : [op.to]));
    assert.is(new Set(registers).size, registers.length, idOf(litmus));
    assert.ok(
      litmus.threads.length <= LITMUS_THREADS_MAX && litmus.threads.every(ops => ops.length <= 4),
      idOf(litmus),
    );
    for (const pattern of [...litmus.forbidden['x86-tso'], ...litmus.forbidden.ecmascript]) {
      const hits = allOutcomes(litmus).filter(text => pattern.split(' ').every(part => text.split(' ').includes(part)));
      assert.ok(hits.length > 0, `${idOf(litmus)} ${pattern}`);
    }
  }
});

test.run();

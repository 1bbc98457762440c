// Errors cross threads whole: class, code, errno, info and cause.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypervisorError, outOfRange } from '../../shared/errors.ts';
import { fromWire, toWire } from '../../shared/wire-error.ts';
import { oddValues } from '../odd-values.ts';

const test = suite('errors on the wire');
const sent = (thrown: unknown): Error => fromWire(structuredClone(toWire(thrown)));

test('a HypervisorError with everything', () => {
  const cause = Object.assign(new TypeError('inner'), { code: 'ERR_INNER' });
  const error = sent(
    new HypervisorError('ERR_SYSCALL', 'outer', { errno: 22, syscall: 'KVM_RUN', info: { n: 1n }, cause }),
  ) as HypervisorError;

  assert.instance(error, HypervisorError);
  assert.equal(
    [error.code, error.message, error.errno, error.syscall, error.info],
    ['ERR_SYSCALL', 'outer', 22, 'KVM_RUN', { n: 1n }],
  );
  assert.instance(error.cause, TypeError);
  assert.is((error.cause as { code?: string }).code, 'ERR_INNER');
});

test('misuse keeps its class and code', () => {
  const error = sent(outOfRange('n', '1', 2));

  assert.instance(error, RangeError);
  assert.is((error as { code?: string }).code, 'ERR_OUT_OF_RANGE');
});

test('what is thrown and is no error becomes one; a circle of causes ends', () => {
  assert.is(sent('text').message, 'text');
  const circle = new Error('round');
  circle.cause = circle;
  assert.is(sent(circle).message, 'round');
});

test('whatever is thrown crosses', () => {
  for (const make of oddValues) assert.instance(sent(make()), Error);
});

test('facts that cannot cross stay behind', () => {
  const error = sent(new HypervisorError('ERR_STATE', 'mine', { info: { call: () => {} } })) as HypervisorError;

  assert.equal([error.code, error.message, error.info], ['ERR_STATE', 'mine', undefined]);
});

test.run();

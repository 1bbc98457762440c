// What flat() refuses at once: wrong types, impossible values, combinations that make no sense.

import { type flat as Flat, flat } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../images.ts';

const test = suite('flat options');
const hlt = Uint8Array.of(0xf4);
type Options = Parameters<typeof Flat>[1];
/** Calls that the types forbid: users of JavaScript can make them. */
const call = (bytes: unknown, options: unknown) => () => flat(bytes as Uint8Array, options as Options);
const correct = { at: 0x1000, mode: 64 };

const cases: [string, string, () => unknown][] = [
  ['bytes of another type', 'ERR_INVALID_ARG_TYPE', call([0xf4], correct)],
  ['bytes that are missing', 'ERR_INVALID_ARG_TYPE', call(undefined, correct)],
  ['no bytes', 'ERR_OUT_OF_RANGE', call(new Uint8Array(0), correct)],
  ['no options', 'ERR_INVALID_ARG_TYPE', call(hlt, undefined)],
  ['an unknown option', 'ERR_UNKNOWN_OPTION', call(hlt, { ...correct, address: 0 })],
  ['no address', 'ERR_INVALID_ARG_TYPE', call(hlt, { mode: 64 })],
  ['NaN as address', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, at: Number.NaN })],
  ['a fraction as address', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, at: 0.5 })],
  ['a negative address', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, at: -4096n })],
  ['an address above 2^53', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, at: 2n ** 53n })],
  ['an end above 2^53', 'ERR_OUT_OF_RANGE', call(new Uint8Array(2), { ...correct, at: Number.MAX_SAFE_INTEGER })],
  ['an entry before the image', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, entry: 0xfff })],
  ['an entry behind the image', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, entry: 0x1001 })],
  ['a mode that does not exist', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, mode: 8 })],
  ['a mode of another type', 'ERR_INVALID_ARG_TYPE', call(hlt, { ...correct, mode: '64' })],
  ['a ring that does not exist here', 'ERR_OUT_OF_RANGE', call(hlt, { ...correct, cpl: 1 })],
  ['a ring of another type', 'ERR_INVALID_ARG_TYPE', call(hlt, { ...correct, cpl: '3' })],
  ['ring 3 in protected mode', 'ERR_OUT_OF_RANGE', call(hlt, { at: 0x1000, mode: 32, cpl: 3 })],
  ['ring 3 in real mode', 'ERR_OUT_OF_RANGE', call(hlt, { at: 0x1000, mode: 16, cpl: 3 })],
];
for (const [name, code, body] of cases) test(`${name}: ${code}`, () => assert.is(codeOf(body), code));

test.run();

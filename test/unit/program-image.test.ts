// What program() takes and refuses; running programs is tested with the host engine.

import { program } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../images.ts';

const test = suite('program image');
const emptyModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const call = (source: unknown, data?: unknown) => () => program(source as string, data);

test('URLs, absolute paths and WebAssembly are taken', () => {
  assert.equal(program(new URL('file:///a/b.js')).source, { type: 'module', url: 'file:///a/b.js' });
  assert.equal(program('data:text/javascript,1').source, { type: 'module', url: 'data:text/javascript,1' });
  assert.equal(program('/a b/c.js').source, { type: 'module', url: 'file:///a%20b/c.js' });
  assert.equal(program(emptyModule, { n: 1n }), {
    engine: 'host',
    kind: 'program',
    source: { type: 'wasm', bytes: emptyModule },
    data: { n: 1n },
  });
});

test('anything else is refused at once', () => {
  assert.is(codeOf(call('b.js')), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call('https://localhost/b.js')), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call(undefined)), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call('/a.js', () => {})), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call(new Uint8Array(0))), 'ERR_IMAGE_FORMAT');
  assert.is(codeOf(call(emptyModule.slice(0, 7))), 'ERR_IMAGE_FORMAT');
});

test.run();

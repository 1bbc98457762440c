// The examples that need no KVM run and print what they promise; every example is short enough to be read at once.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fromRoot, runScript, WITHOUT_KVM } from '../command.ts';

const test = suite('examples');

test('dirty-pages: an aborted harvest loses nothing', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/dirty-pages.js', [], { env: WITHOUT_KVM });
  assert.is(status, 0, stderr);
  assert.equal(stdout.trimEnd().split('\n'), [
    'first try: 0x5000+0x2000 0x200000+0x1000',
    'second try: 0x5000+0x2000 0x9000+0x1000 0x200000+0x1000',
    'saved 3 ranges; still dirty: 0',
  ]);
});

test('hello without KVM: an error that says what to do', async () => {
  const { status, stderr } = await runScript('build/examples/hello.js', [], { env: WITHOUT_KVM });
  assert.is(status, 1);
  assert.match(stderr, /ERR_KVM_UNAVAILABLE/);
});

for (const [name, usage] of [
  ['linux-shell', /usage: .*<kernel> <initrd>/],
  ['linux-exec', /usage: .*<kernel> <initrd> <command>/],
] as const) {
  test(`${name} without a kernel says what it needs`, async () => {
    const { status, stderr } = await runScript(`build/examples/${name}.js`, []);
    assert.is(status, 2);
    assert.match(stderr, usage);
  });
}

test('no example has more than 80 lines', () => {
  const files = readdirSync(fromRoot('examples'), { recursive: true })
    .map(String)
    .filter(name => name.endsWith('.ts'));
  assert.ok(files.length > 5);
  const long = files.filter(
    name =>
      readFileSync(join(fromRoot('examples'), name), 'utf8')
        .trimEnd()
        .split('\n').length > 80,
  );
  assert.equal(long, []);
});

test.run();

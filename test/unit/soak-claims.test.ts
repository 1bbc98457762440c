// The table of who sees what is in the document, whole, and says what the soak relies on.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fromRoot } from '../command.ts';
import { contradictions, readClaims } from '../soak/claims.ts';

const test = suite('soak: claims');

test('what ARCHITECTURE.md says of each source', () => {
  assert.equal(readClaims(fromRoot('ARCHITECTURE.md')), {
    bitmap: { guest: true, api: true, raw: false, fs: false },
    ring: { guest: true, api: true, raw: false, fs: false },
    pagemap: { guest: true, api: true, raw: true, fs: true },
    host: { guest: false, api: true, raw: false, fs: false },
  });
});

test('a missing table, row or answer is an error', () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-claims-'));
  const read = (text: string) => {
    writeFileSync(join(folder, 'document.md'), text);
    return readClaims(join(folder, 'document.md'));
  };
  const head = '| writer | bitmap | ring | pagemap | host |\n|---|---|---|---|---|\n';
  const rows = ['guest', 'the API', 'raw JavaScript', 'system calls'].map(
    name => `| ${name} | yes | no | yes | no |\n`,
  );
  try {
    assert.is(read(`${head}${rows.join('')}\n`).ring.api, false);
    assert.throws(() => read('nothing'), /no table/);
    assert.throws(() => read(`${head}${rows.slice(1).join('')}\n`), /does not say whether bitmap sees 'guest/);
    assert.throws(() => read(`${head}${rows.join('').replace('| no |', '| perhaps |')}\n`), /does not say/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a machine that shows something else than the document says is found out', () => {
  const claims = readClaims(fromRoot('ARCHITECTURE.md'));
  assert.equal(contradictions(claims, 'pagemap', { guest: null, api: true, rawHost: true }), []);
  assert.is(contradictions(claims, 'pagemap', { guest: true, api: true, rawHost: false }).length, 2);
  assert.is(contradictions(claims, 'bitmap', { guest: true, api: true, rawHost: true }).length, 2);
});

test.run();

// Source 'pagemap' over every kind of memory: raw stores are found exactly.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvmMemory, type MemoryOptions } from 'node-kvm';
import * as assert from 'uvu/assert';
import { dirtyPages, PAGE, sourceSuite } from '../dirty-pages.ts';

const test = sourceSuite('pagemap', 'dirty: pagemap over backings');

const MIB = 2 ** 20;
const PAGES = (4 * MIB) / PAGE;
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-'));
const file = join(folder, 'ram');
test.before(() => writeFileSync(file, Buffer.alloc(4 * MIB, 'abcd')));
test.after(() => rmSync(folder, { recursive: true }));

const written = [0, 7, 511, 512, PAGES - 1];

/** Memory tracked when one page of it has been touched. */
function tracked(options: MemoryOptions): KvmMemory {
  const memory = new KvmMemory(4 * MIB, options);
  memory.view(7 * PAGE, 1)[0] = 1;
  memory.enableDirtyTracking({ source: 'pagemap' });
  return memory;
}

function writeRaw(memory: KvmMemory): void {
  const raw = memory.view(0, 4 * MIB);
  for (const page of written) raw[page * PAGE] = 1;
}

const exact: Record<string, MemoryOptions> = {
  anonymous: {},
  'anonymous, prefaulted': { prefault: true },
  memfd: { backing: 'memfd' },
  'memfd with huge pages by advice': { backing: 'memfd', hugePages: 'thp', prefault: true },
  'a private file': { backing: { file } },
  'a shared file': { backing: { file, shared: true } },
  wasm: { backing: 'wasm' },
  'huge pages by advice': { hugePages: 'thp', prefault: true },
};

for (const [name, options] of Object.entries(exact)) {
  test(`${name}: touched pages and untouched ones, three rounds`, () => {
    using memory = tracked(options);
    assert.equal(dirtyPages(memory), []);
    for (let round = 0; round < 3; round++) {
      writeRaw(memory);
      assert.equal(dirtyPages(memory), written);
    }
    memory.dumpAll(new Uint8Array(4 * MIB));
    assert.equal(dirtyPages(memory), []);
  });
}

/** (func (param addr value) (i32.store8 addr value)) over the shared memory `e.m`, exported as `s`. */
const STORE = Uint8Array.from(
  [
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    [0x01, 0x06, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x00], // type: (i32, i32) -> ()
    [0x02, 0x0b, 0x01, 0x01, 0x65, 0x01, 0x6d, 0x02, 0x03, 0x01, 0x80, 0x80, 0x04], // import e.m: shared, 1 to 65536 pages
    [0x03, 0x02, 0x01, 0x00],
    [0x07, 0x05, 0x01, 0x01, 0x73, 0x00, 0x00], // export s
    [0x0a, 0x0b, 0x01, 0x09, 0x00, 0x20, 0x00, 0x20, 0x01, 0x3a, 0x00, 0x00, 0x0b],
  ].flat(),
);

interface WasmGlobal {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: { s(addr: number, value: number): void } };
}

test('stores of WebAssembly', () => {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: WasmGlobal }).WebAssembly;
  using memory = new KvmMemory(4 * MIB, { backing: 'wasm' });
  const { exports } = new Instance(new Module(STORE), { e: { m: memory.wasmMemory } });
  memory.enableDirtyTracking({ source: 'pagemap' });
  for (const page of [0, 64, PAGES - 1]) exports.s(page * PAGE + 9, 1);
  assert.equal(dirtyPages(memory), [0, 64, PAGES - 1]);
  assert.is(memory.view(64 * PAGE + 9, 1)[0], 1);
  assert.equal(dirtyPages(memory), []);
});

test.run();

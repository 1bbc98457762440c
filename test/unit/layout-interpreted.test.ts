// Where code from strings is forbidden, layouts are walked instead of compiled: same bytes, same values, same errors.

import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { array, f64le, i16be, type Layout, padding, struct, u8, u64le } from '../../shared/layout.ts';
import { interpret } from '../../shared/layout-compile.ts';

const test = suite('layout: without code from strings');

type Any = Layout<unknown, never>;

const layouts = fc.letrec<{ any: Any }>(tie => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Any>(u8, i16be, u64le, f64le),
    fc.tuple(tie('any'), fc.integer({ min: 1, max: 4 })).map(([element, length]) => array(element, length) as Any),
    fc
      .array(
        fc.tuple(fc.constantFrom('a', 'b', 'c d', '__proto__'), fc.oneof(tie('any'), fc.constant<Any>(padding(3)))),
        { minLength: 1, maxLength: 4 },
      )
      .map(fields => struct(Object.fromEntries(fields)) as Any),
  ),
})).any;

test('compiled and interpreted agree on bytes, values and refusals', () => {
  fc.assert(
    fc.property(
      layouts,
      fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
      fc.boolean(),
      (layout, random, damage) => {
        const interpreted = interpret(layout.spec);
        const source = new DataView(
          Uint8Array.from({ length: layout.size }, () => random.next().value as number).buffer,
        );
        const value = layout.read(source, 0);
        assert.equal(interpreted.read(source, 0), value);

        const given = damage ? spoil(value) : value;
        const a = attempt(view => layout.write(view, 0, given as never), layout.size);
        const b = attempt(view => interpreted.write(view, 0, given), layout.size);
        assert.equal(a, b);
        if (damage) assert.ok(a.error !== undefined && a.bytes.every(byte => byte === 0xee));
      },
    ),
    { numRuns: 300 },
  );
});

/** Puts something that fits nowhere in place of the last scalar. */
function spoil(value: unknown): unknown {
  if (Array.isArray(value)) return [...value.slice(0, -1), spoil(value.at(-1))];
  if (value === null || typeof value !== 'object') return 'nonsense';
  const last = Object.keys(value).at(-1);
  if (last === undefined) return 'nonsense';
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, name === last ? spoil(each) : each]));
}

function attempt(write: (view: DataView) => void, size: number): { bytes: Uint8Array; error: string | undefined } {
  const bytes = new Uint8Array(size).fill(0xee);
  try {
    write(new DataView(bytes.buffer));
    return { bytes, error: undefined };
  } catch (error) {
    return { bytes, error: (error as Error).message };
  }
}

test('the library works in a process that forbids it', () => {
  const program = `
    import { KvmMemory, struct, u8, u32le } from 'node-kvm';
    const memory = new KvmMemory(4096);
    memory.writeObj(1, struct({ a: u8, b: u32le }), { a: 1, b: 2 });
    console.log(JSON.stringify(memory.readObj(1, struct({ a: u8, b: u32le }))));`;
  const child = spawnSync(
    process.execPath,
    ['--disallow-code-generation-from-strings', '--input-type=module', '-e', program],
    { encoding: 'utf8' },
  );
  assert.is(child.stdout.trim(), '{"a":1,"b":2}', child.stderr);
});

test.run();

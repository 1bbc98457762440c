// The words of the lab are said twice: in TypeScript for coordinator and threads, in C for the addon and the guest. Both must say the same.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  LAB_ACTORS_MAX,
  LAB_BLOCK,
  LAB_BLOCK_BYTES,
  LAB_BLOCKS,
  LAB_CONTROL,
  LAB_GATE_PORT,
  LAB_LAYOUT,
  LAB_OVER,
  LAB_PARAMS_MAX,
  LAB_RESULT,
  LAB_VALUES_MAX,
} from '../../shared/lab/control.ts';
import { LAB_KERNELS } from '../../shared/lab/kernels.ts';

const test = suite('lab layout');
const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim();
const text = (file: string) => readFileSync(join(root, 'native/lab', file), 'utf8');

/** Every number that a header defines. */
function defines(header: string): Map<string, number> {
  const found = header.matchAll(/^#define (LAB_\w+) \(?(-?(?:0x[0-9a-f]+|\d+))u?\)?$/gm);
  return new Map([...found].map(([, name = '', value = '']) => [name, Number(value)]));
}

/** Kernel names in capitals as C has them: `atomicAdd` → ATOMIC_ADD. */
const capitals = (name: string) => name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase();

function group(prefix: string, words: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(words).map(([name, value]) => [`LAB_${prefix}_${name}`, value]);
}

const { CODE, CONTROL, DATA } = LAB_LAYOUT;
const inTypeScript = new Map<string, number>([
  ...group('LAYOUT', { CODE, CONTROL, DATA }),
  ...group('CONTROL', LAB_CONTROL),
  ...group('BLOCK', LAB_BLOCK),
  ...group('RESULT', LAB_RESULT),
  ...group('KERNEL', Object.fromEntries(Object.entries(LAB_KERNELS).map(([name, n]) => [capitals(name), n]))),
  ['LAB_GATE_PORT', LAB_GATE_PORT],
  ['LAB_OVER', LAB_OVER],
  ['LAB_BLOCKS', LAB_BLOCKS],
  ['LAB_BLOCK_BYTES', LAB_BLOCK_BYTES],
  ['LAB_ACTORS_MAX', LAB_ACTORS_MAX],
  ['LAB_PARAMS_MAX', LAB_PARAMS_MAX],
  ['LAB_VALUES_MAX', LAB_VALUES_MAX],
]);

test('layout.h and control.ts and kernels.ts define the same names with the same values', () => {
  const inC = defines(text('layout.h'));
  assert.equal([...inC.keys()].sort(), [...inTypeScript.keys()].sort());
  for (const [name, value] of inC) assert.is(value, inTypeScript.get(name), name);
});

test('the guest is linked where the layout has its code, and may not grow into the control area', () => {
  const script = text('guest.ld');
  const numbers = [...script.matchAll(/0x[0-9a-f]{5,}/g)].map(Number);
  assert.equal(numbers, [CODE, CONTROL]);
});

test.run();

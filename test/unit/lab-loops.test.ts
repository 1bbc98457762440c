// The kernels' loops over memory in the guest and in the addon lie within cache lines: one that lies across two runs at half its speed, and the row would
// compare two linkers. Reads the machine text by objdump, which comes with the compiler's linker.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { fileSuite } from '../harness.ts';

const OBJDUMP = '/usr/bin/objdump';
const LINE = 64;
const test = fileSuite(OBJDUMP, 'apt-get install binutils', 'lab: loops');
const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim();

interface Loop {
  readonly start: number;
  /** After the jump back. */
  readonly end: number;
  readonly text: string;
}

/** Jumps back by a line at most, with what they jump over: innermost loops. */
function shortLoops(file: string): Loop[] {
  const listing = execFileSync(OBJDUMP, ['-d', '--no-show-raw-insn', file], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  const code = [...listing.matchAll(/^ *([0-9a-f]+):\t(.*)$/gm)].map(([, at = '', text = '']) => ({
    at: Number.parseInt(at, 16),
    text,
  }));
  return code.flatMap(({ at, text }, i) => {
    const target = /^j\w+ +([0-9a-f]+) /.exec(text)?.[1];
    const start = Number.parseInt(target ?? 'none', 16);
    const end = code[i + 1]?.at ?? at;
    if (!(start < at) || end - start > LINE) return [];
    const body = code.slice(
      code.findLastIndex(each => each.at === start),
      i,
    );
    return [{ start, end, text: body.map(each => each.text).join('\n') }];
  });
}

const isSplit = ({ start, end }: Loop) => Math.floor(start / LINE) !== Math.floor((end - 1) / LINE);
const isVector = ({ text }: Loop) => /\(%r.*xmm|xmm.*\(%r/.test(text);
const isTriad = ({ text }: Loop) => /mulpd/.test(text);

test("the guest's loops over memory do", () => {
  const loops = shortLoops(join(root, 'dist/lab/guest.elf')).filter(isVector);

  assert.ok(loops.some(isTriad) && loops.length >= 3, `${loops.length} loops`);
  assert.equal(loops.filter(isSplit), []);
});

test("the addon's triad does", () => {
  const folder = join(root, 'prebuilds/linux-x64');
  const [addon = ''] = readdirSync(folder).filter(file => file.endsWith('.node'));
  const loops = shortLoops(join(folder, addon)).filter(isTriad);

  assert.ok(loops.length > 0);
  assert.equal(loops.filter(isSplit), []);
});

test.run();

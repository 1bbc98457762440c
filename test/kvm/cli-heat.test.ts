// `node-kvm heat` with guests on KVM: its counts are those of a harvest of the same guest, and it writes its page.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flat, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { nodeKvm } from '../command.ts';
import { COUNTER_ELF } from '../counter-guest.ts';
import { at, code, jump, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('cli heat');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-heat-'));
test.after(() => rmSync(folder, { recursive: true }));

const AREA = 0x40_0000;
const PAGES = 300;
const STRIDE = 3 * 4096;
const MEMORY = 16 << 20;
const AT = 0x10_0000;
/** Writes a byte into every third page of the area, then halts. */
const sweep = code(
  [0xbb, ...le32(AREA)], //             mov ebx, AREA
  [0xb9, ...le32(PAGES)], //            mov ecx, PAGES
  at('again'),
  [0xc6, 0x03, 0x01], //                mov byte [rbx], 1
  [0x81, 0xc3, ...le32(STRIDE)], //     add ebx, STRIDE
  jump(0xe2, 'again'), //               loop again
  [0xf4], //                            hlt
);
const image = join(folder, 'sweep.bin');
writeFileSync(image, sweep);

interface Heat {
  readonly source: string;
  readonly pagesWritten: number;
  readonly intervals: readonly { readonly pages: number; readonly cells: readonly (readonly [number, number])[] }[];
}

/** What was counted in the area; above it are the guest's page tables, which KVM may report as well, and again and again. */
const inArea = (cells: readonly (readonly [number, number])[]) =>
  cells.filter(([address]) => address >= AREA && address < AREA + PAGES * STRIDE);

/** Pages that a harvest of the same guest has, cell by cell of `cellBytes`. */
async function harvested(cellBytes: number): Promise<Map<number, number>> {
  await using vm = await VirtualMachine.create({
    memory: MEMORY,
    vcpus: 1,
    engine: 'kvm',
    dirtyTracking: { source: 'bitmap' },
  });
  await vm.load(flat(sweep, { at: AT, mode: 64 }));
  vm.memory.harvest().commit();
  await vm.start();
  await vm.finished;
  const cells = new Map<number, number>();
  for (const { guestAddr, size } of vm.memory.getDirtyPages()) {
    for (let page = guestAddr; page < guestAddr + size; page += 4096) {
      const cell = page - (page % cellBytes);
      cells.set(cell, (cells.get(cell) ?? 0) + 1);
    }
  }
  return cells;
}

test('--json counts what a harvest of the same guest counts', async () => {
  const args = ['heat', image, '--memory', '16M', '--source', 'bitmap', '--every', '3600000', '--json'];
  const { status, stdout, stderr } = await nodeKvm(args);
  assert.is(status, 0, stderr);
  const heat: Heat & { readonly cellBytes: number } = JSON.parse(stdout).heat;
  assert.is(heat.source, 'bitmap');
  const counted = new Map(heat.intervals.flatMap(({ cells }) => cells));
  assert.equal(counted, await harvested(heat.cellBytes));
  assert.is(
    inArea([...counted]).reduce((sum, [, pages]) => sum + pages, 0),
    PAGES,
  );
});

test('many looks find every page as well', async () => {
  const { status, stdout, stderr } = await nodeKvm(['heat', image, '--memory', '16M', '--every', '1', '--json']);
  assert.is(status, 0, stderr);
  const { intervals, cellBytes }: Heat & { readonly cellBytes: number } = JSON.parse(stdout).heat;
  const found = new Set(inArea(intervals.flatMap(({ cells }) => cells)).map(([address]) => address));
  assert.equal(found, new Set(inArea([...(await harvested(cellBytes))]).map(([address]) => address)));
  // A look between KVM's fault and the store that it was for finds the page, and the next one finds it again.
  assert.ok(intervals.reduce((sum, { pages }) => sum + pages, 0) >= PAGES);
});

test('the counter guest on 2 vCPUs: console lines, a page, status 0', async () => {
  const place = join(folder, 'heat.html');
  const { status, stdout, stderr } = await nodeKvm([
    ...['heat', COUNTER_ELF, '--cpus', '2', '--memory', '16M', '--html', place],
  ]);
  assert.is(status, 0, stderr);
  // vCPU 0 powers off; on a busy machine the other one may not have begun by then.
  assert.match(stdout, /^guest: vCPU 0 runs in ring 0$/m);
  assert.match(stderr, /power-off/);
  assert.match(readFileSync(place, 'utf8'), /Memory heat of counter\.elf/);
});

test.run();

// ACPI tables: a parser of its own finds every table by its address and checksum and reads the fields back; iasl, where there is one, takes
// the DSDT apart and puts it together again without a complaint.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { acpiTables } from '../../src/main/images/acpi-tables.ts';
import { checkHardware, type Hardware } from '../../src/main/images/hardware.ts';
import { suiteUnless } from '../harness.ts';

const test = suite('ACPI tables');
const BASE = 0xe_0000;
const everything: Hardware = {
  virtio: [
    { base: 0xd000_0000, size: 0x1000, irq: 5 },
    { base: 0xd000_1000n, size: 0x200, irq: 23 },
  ],
  serial: [
    { port: 0x3f8, irq: 4 },
    { port: 0x2f8, irq: 3 },
  ],
  keyboard: true,
  clock: true,
};

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

/** All tables by signature, found as a guest finds them; each address, length and checksum is asserted. */
function tables(hardware: Hardware = {}, vcpus = 1): Map<string, Buffer> {
  const { rsdp, bytes } = acpiTables(BASE, vcpus, checkHardware(hardware));
  const image = Buffer.from(bytes);
  const root = image.subarray(rsdp - BASE, rsdp - BASE + 36);
  assert.is(rsdp % 16, 0);
  assert.is(root.toString('latin1', 0, 8), 'RSD PTR ');
  assert.equal([sum(root.subarray(0, 20)), sum(root)], [0, 0]);
  const found = new Map<string, Buffer>();
  const read = (address: bigint) => {
    const at = Number(address) - BASE;
    const table = image.subarray(at, at + image.readUInt32LE(at + 4));
    assert.is(table.byteLength, image.readUInt32LE(at + 4));
    assert.is(sum(table), 0);
    found.set(table.toString('latin1', 0, 4), table);
    return table;
  };
  const xsdt = read(root.readBigUInt64LE(24));
  for (let at = 36; at < xsdt.byteLength; at += 8) read(xsdt.readBigUInt64LE(at));
  const fadt = found.get('FACP') ?? Buffer.alloc(276);
  assert.is(BigInt(fadt.readUInt32LE(40)), fadt.readBigUInt64LE(140));
  read(fadt.readBigUInt64LE(140));
  return found;
}

function table(signature: string, hardware?: Hardware, vcpus?: number): Buffer {
  const found = tables(hardware, vcpus).get(signature);
  if (found === undefined) throw new Error(`no ${signature}`);
  return found;
}

test('FADT: hardware-reduced, with reset and sleep registers', () => {
  const fadt = table('FACP');
  const register = (at: number) => [fadt[at], fadt[at + 1], fadt.readBigUInt64LE(at + 4)];

  assert.is(fadt.byteLength, 276);
  assert.is(fadt.readUInt32LE(112) & ((1 << 20) | (1 << 10)), (1 << 20) | (1 << 10));
  assert.equal([...register(116), fadt[128]], [1, 8, 0xcf9n, 6]);
  assert.equal(register(244), [1, 8, 0x600n]);
  assert.equal(register(256), [1, 8, 0x601n]);
});

test('FADT: boot flags say which legacy devices there are', () => {
  const flags = (hardware: Hardware) => table('FACP', hardware).readUInt16LE(109);

  assert.is(flags({}), 0x25);
  assert.is(flags({ serial: [] }), 0x24);
  assert.is(flags({ keyboard: true, clock: true }), 0x07);
});

/** The MADT's entries by type. */
function madtEntries(vcpus: number, hardware: Hardware = {}): Map<number, Buffer[]> {
  const madt = table('APIC', hardware, vcpus);
  const entries = new Map<number, Buffer[]>();
  for (let at = 44, size = 0; at < madt.byteLength; at += size) {
    const type = madt.readUInt8(at);
    size = madt.readUInt8(at + 1);
    assert.ok(size >= 2, 'an entry has a length');
    entries.set(type, [...(entries.get(type) ?? []), madt.subarray(at, at + size)]);
  }
  return entries;
}

test('MADT: a LAPIC per vCPU, the IOAPIC, the timer at pin 2, NMI at LINT1', () => {
  const entries = madtEntries(4);

  assert.equal(
    entries.get(0)?.map(entry => [entry[3], entry.readUInt32LE(4)]),
    [0, 1, 2, 3].map(id => [id, 1]),
  );
  assert.equal([entries.get(1)?.[0]?.readUInt32LE(4), entries.get(1)?.[0]?.readUInt32LE(8)], [0xfec0_0000, 0]);
  assert.equal([entries.get(2)?.[0]?.[3], entries.get(2)?.[0]?.readUInt32LE(4)], [0, 2]);
  assert.equal([entries.get(4)?.[0]?.[2], entries.get(4)?.[0]?.[5]], [0xff, 1]);
});

test('MADT: without a PIC and a PIT no interrupt is overridden; an 8259 is never told of', () => {
  assert.is(madtEntries(2, { timer: false }).get(2), undefined);
  for (const timer of [true, false]) assert.is(table('APIC', { timer }).readUInt32LE(40), 0);
});

test('MADT: APIC ids from 255 on are x2APIC entries', () => {
  const entries = madtEntries(258);

  assert.is(entries.get(0)?.length, 255);
  assert.equal(
    entries.get(9)?.map(entry => entry.readUInt32LE(4)),
    [255, 256, 257],
  );
});

test('checksums and lengths hold for any devices', () => {
  const hardware = fc.record({
    virtio: fc
      .uniqueArray(fc.constantFrom(5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23))
      .map(irqs => irqs.map((irq, index) => ({ base: 0xc000_0000 + index * 0x1000, size: 0x1000, irq }))),
    keyboard: fc.boolean(),
    timer: fc.boolean(),
    clock: fc.boolean(),
  });
  fc.assert(
    fc.property(hardware, fc.integer({ min: 1, max: 64 }), (devices, vcpus) => {
      assert.is(tables(devices, vcpus).size, 4);
    }),
    { numRuns: 200 },
  );
});

test.run();

const noCompiler = spawnSync('iasl', ['-v']).error === undefined ? undefined : 'no iasl (acpica-tools) on this machine';
const withCompiler = suiteUnless(noCompiler, 'ACPI tables by iasl');

withCompiler('iasl takes the DSDT apart, finds the devices, and compiles the result without a warning', () => {
  const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
  try {
    writeFileSync(join(folder, 'dsdt.dat'), table('DSDT', everything));
    execFileSync('iasl', ['-d', 'dsdt.dat'], { cwd: folder, stdio: 'pipe' });
    const compiled = execFileSync('iasl', ['-oa', 'dsdt.dsl'], { cwd: folder, stdio: 'pipe', encoding: 'utf8' });
    assert.match(compiled, /0 Errors, 0 Warnings/);
    const source = readFileSync(join(folder, 'dsdt.dsl'), 'utf8');
    assert.is(source.match(/"LNRO0005"/g)?.length, 2);
    assert.is(source.match(/EisaId \("PNP0501"\)/g)?.length, 2);
    assert.match(source, /Memory32Fixed \(ReadWrite,\s+0xD0001000,[^\n]*\s+0x00000200,/);
    assert.match(source, /Interrupt \(ResourceConsumer, Edge, ActiveHigh, Exclusive[^)]*\)\s+\{\s+0x00000017,/);
    assert.match(source, /EisaId \("PNP0303"\)/);
    assert.match(source, /EisaId \("PNP0B00"\)/);
    assert.match(source, /_S5, Package \(0x04\)[^{]*\{\s+0x05,/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

withCompiler('iasl reads FADT and MADT without a complaint', () => {
  const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
  try {
    for (const signature of ['FACP', 'APIC'] as const) {
      writeFileSync(join(folder, 'table.dat'), table(signature, everything, 4));
      const { stdout, stderr, status } = spawnSync('iasl', ['-d', 'table.dat'], { cwd: folder, encoding: 'utf8' });
      assert.is(status, 0, stderr);
      assert.not.match(stdout + stderr, /warning|error|invalid/i);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

withCompiler.run();

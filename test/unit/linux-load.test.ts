// A Linux kernel in memory: what lies where, what the kernel is told, how vCPUs start; refused kernels change nothing.

import { KvmMemory, type LinuxOptions, linux } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf, load, refusedLoad } from '../images.ts';
import { BZ_INIT_SIZE, BZ_LOAD_ADDR, bzImage, ELF_ADDR, elfKernel, pvhNote } from '../linux-kernels.ts';

const test = suite('linux load');
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const code = Uint8Array.from({ length: 0x400 }, (_, index) => index & 0xff);
const initrd = new Uint8Array(5000).fill(0xab);

function bytesAt(memory: KvmMemory, addr: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  memory.read(addr, bytes);
  return bytes;
}

/** The memory map of boot_params at `addr`. */
function e820(params: Buffer): number[][] {
  return Array.from({ length: params.readUInt8(0x1e8) }, (_, index) => {
    const at = 0x2d0 + index * 20;
    const start = Number(params.readBigUInt64LE(at));
    return [start, start + Number(params.readBigUInt64LE(at + 8)), params.readUInt32LE(at + 16)];
  });
}

test('bzImage: the code at its place, boot_params with its header, long mode at the 64-bit entry', async () => {
  using memory = new KvmMemory(8 * MIB);
  const [first, ...others] = await load(linux({ kernel: bzImage(code), initrd, cmdline: 'quiet ä' }), memory, 3);

  assert.ok(bytesAt(memory, BZ_LOAD_ADDR, code.byteLength).equals(code));
  assert.is(first?.regs?.rip, BigInt(BZ_LOAD_ADDR + 0x200));
  assert.is(first?.sregs?.efer, 0x500n);
  assert.equal(
    others.map(({ runnable }) => runnable),
    [false, false],
  );
  const params = bytesAt(memory, Number(first?.regs?.rsi), 4096);
  assert.is(params.toString('latin1', 0x202, 0x206), 'HdrS');
  assert.is(params.readUInt16LE(0x206), 0x20f);
  assert.is(params.readUInt8(0x210), 0xff);
  assert.is(params.readUInt8(0x1ef), 0, 'the sentinel');
  const initrdAddr = params.readUInt32LE(0x218);
  assert.is(initrdAddr, 8 * MIB - 8192);
  assert.is(params.readUInt32LE(0x21c), initrd.byteLength);
  assert.ok(bytesAt(memory, initrdAddr, initrd.byteLength).equals(initrd));
  assert.is(bytesAt(memory, params.readUInt32LE(0x228), 10).toString(), 'quiet ä\0\0');
  const rsdp = Number(params.readBigUInt64LE(0x70));
  assert.is(bytesAt(memory, rsdp, 8).toString(), 'RSD PTR ');
  assert.is(bytesAt(memory, 0xf_0000, 4).toString(), '_MP_');
  const reset = [0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee];
  assert.equal([...bytesAt(memory, 0xf_fff0, 6)], reset, 'out 0xcf9, 6 at the reset vector');
});

test('the memory map of a small machine: holes below 1 MiB, ACPI tables marked', async () => {
  using memory = new KvmMemory(8 * MIB);
  const [first] = await load(linux({ kernel: bzImage(code) }), memory);

  const map = e820(bytesAt(memory, Number(first?.regs?.rsi), 4096));
  assert.equal(map, [
    [0, 0x9_fc00, 1],
    [0x9_fc00, 0xa_0000, 2],
    [0xe_0000, 0xe_1000, 3],
    [0xe_1000, 0x10_0000, 2],
    [0x10_0000, 8 * MIB, 1],
  ]);
});

test('more than 3 GiB: RAM goes on at 4 GiB, the initrd stays below 3 GiB and below what the kernel takes', async () => {
  using memory = new KvmMemory(5 * GIB);
  const place = async (initrdAddrMax: number) => {
    const [first] = await load(linux({ kernel: bzImage(code, { initrdAddrMax }), initrd }), memory);
    return bytesAt(memory, Number(first?.regs?.rsi), 4096);
  };

  assert.is((await place(0xffff_ffff)).readUInt32LE(0x218), 3 * GIB - 8192);
  const params = await place(0x7fff_ffff);
  assert.is(params.readUInt32LE(0x218), 2 * GIB - 8192);
  assert.equal(e820(params).slice(-2), [
    [MIB, 3 * GIB, 1],
    [4 * GIB, 6 * GIB, 1],
  ]);
});

test('ELF with a PVH note: protected mode, hvm_start_info with the initrd, the command line and the map', async () => {
  using memory = new KvmMemory(8 * MIB);
  memory.memset(0, 0x55, 8 * MIB);
  const kernel = elfKernel(code, [pvhNote(BigInt(ELF_ADDR) + 0x10n)], { segment: { memsz: 0x2000n } });
  const [first] = await load(linux({ kernel, initrd, cmdline: 'quiet' }), memory);

  assert.ok(bytesAt(memory, ELF_ADDR, code.byteLength).equals(code));
  assert.ok(bytesAt(memory, ELF_ADDR + code.byteLength, 0x2000 - code.byteLength).every(byte => byte === 0));
  assert.is(first?.regs?.rip, BigInt(ELF_ADDR) + 0x10n);
  assert.is(first?.sregs?.cr0, 0x11n);
  assert.is(first?.sregs?.tr?.limit, 0x67);
  const base = Number(first?.regs?.rbx);
  const info = bytesAt(memory, base, 56);
  assert.is(info.readUInt32LE(0), 0x336e_c578);
  assert.equal([info.readUInt32LE(4), info.readUInt32LE(8), info.readUInt32LE(12)], [1, 0, 1]);
  const module = bytesAt(memory, Number(info.readBigUInt64LE(16)), 32);
  assert.equal([module.readBigUInt64LE(0), module.readBigUInt64LE(8)], [BigInt(8 * MIB - 8192), 5000n]);
  assert.is(bytesAt(memory, Number(info.readBigUInt64LE(24)), 6).toString(), 'quiet\0');
  assert.is(bytesAt(memory, Number(info.readBigUInt64LE(32)), 8).toString(), 'RSD PTR ');
  assert.is(info.readUInt32LE(48), 5);
  const last = bytesAt(memory, Number(info.readBigUInt64LE(40)) + 4 * 24, 24);
  assert.equal([last.readBigUInt64LE(0), last.readBigUInt64LE(8), last.readUInt32LE(16)], [1n << 20n, 7n << 20n, 1]);
});

test('ELF without the note, or with `linux64`: long mode at e_entry with boot_params of our own', async () => {
  for (const options of [
    { kernel: elfKernel(code, []) },
    { kernel: elfKernel(code), entry: 'linux64' },
  ] satisfies LinuxOptions[]) {
    using memory = new KvmMemory(8 * MIB);
    const [first] = await load(linux(options), memory);
    assert.is(first?.regs?.rip, BigInt(ELF_ADDR));
    assert.is(first?.sregs?.efer, 0x500n);
    const params = bytesAt(memory, Number(first?.regs?.rsi), 4096);
    assert.is(params.toString('latin1', 0x202, 0x206), 'HdrS');
    assert.is(params.readUInt16LE(0x1fe), 0xaa55);
    assert.is(params.readUInt32LE(0x218), 0, 'no initrd');
  }
});

test('32 vCPUs: one starts, 31 wait, and both tables have all of them', async () => {
  using memory = new KvmMemory(8 * MIB);
  const [first, ...others] = await load(linux({ kernel: bzImage(code) }), memory, 32);
  assert.is(others.filter(({ runnable }) => runnable === false).length, 31);
  const params = bytesAt(memory, Number(first?.regs?.rsi), 4096);
  const table = (addr: bigint) => bytesAt(memory, Number(addr), bytesAt(memory, Number(addr) + 4, 4).readUInt32LE(0));
  const xsdt = table(bytesAt(memory, Number(params.readBigUInt64LE(0x70)), 36).readBigUInt64LE(24));
  const madt = table(xsdt.readBigUInt64LE(44));
  assert.is(madt.toString('latin1', 0, 4), 'APIC');
  const ids: number[] = [];
  for (let at = 44; at < madt.byteLength; at += madt[at + 1] ?? 1) if (madt[at] === 0) ids.push(madt[at + 3] ?? -1);
  assert.equal(
    ids,
    Array.from({ length: 32 }, (_, id) => id),
  );
  const mp = bytesAt(memory, 0xf_0010, 44 + 32 * 20);
  assert.ok(Array.from({ length: 32 }, (_, id) => 44 + id * 20).every((at, id) => mp[at] === 0 && mp[at + 1] === id));
});

test('an empty initrd is none', async () => {
  using memory = new KvmMemory(8 * MIB);
  const [first] = await load(linux({ kernel: bzImage(code), initrd: new Uint8Array(0) }), memory);
  assert.is(bytesAt(memory, Number(first?.regs?.rsi), 4096).readUInt32LE(0x218), 0);
});

const refused = (what: string, errorCode: string, options: LinuxOptions, size = 8 * MIB, vcpus = 1) =>
  test(`refused, and nothing was written: ${what}`, async () => {
    assert.is((await refusedLoad(linux(options), size, vcpus)).code, errorCode);
  });
const kernel = bzImage(code);
refused('neither bzImage nor ELF', 'ERR_IMAGE_FORMAT', { kernel: new Uint8Array(4096) });
refused('an empty file', 'ERR_IMAGE_FORMAT', { kernel: new Uint8Array(0) });
refused('a missing kernel', 'ERR_IMAGE_READ', { kernel: '/there/is/no/vmlinuz' });
refused('a missing initrd', 'ERR_IMAGE_READ', { kernel, initrd: '/there/is/no/initrd' });
refused('PVH of a bzImage', 'ERR_IMAGE_FORMAT', { kernel, entry: 'pvh' });
refused('PVH without the note', 'ERR_IMAGE_FORMAT', { kernel: elfKernel(code, []), entry: 'pvh' });
refused('a command line longer than the kernel takes', 'ERR_IMAGE_RANGE', { kernel, cmdline: 'x'.repeat(2048) });
refused(
  'a kernel that needs more memory than there is',
  'ERR_IMAGE_RANGE',
  { kernel },
  BZ_LOAD_ADDR + BZ_INIT_SIZE - 4096,
);
refused('less than 1 MiB', 'ERR_IMAGE_RANGE', { kernel }, 512 * 1024);
refused('an ELF kernel below 1 MiB', 'ERR_IMAGE_RANGE', {
  kernel: elfKernel(code, [], { segment: { paddr: 0x1000n, vaddr: 0x1000n }, header: { entry: 0x1000n } }),
});
refused(
  'an initrd without room behind the kernel',
  'ERR_IMAGE_RANGE',
  { kernel, initrd },
  BZ_LOAD_ADDR + BZ_INIT_SIZE + 4096,
);
refused('an initrd that must lie below the kernel', 'ERR_IMAGE_RANGE', {
  kernel: bzImage(code, { initrdAddrMax: 0 }),
  initrd,
});
refused('more vCPUs than tables have room for', 'ERR_IMAGE_RANGE', { kernel }, 8 * MIB, 5000);

test('the largest command line that a kernel takes', async () => {
  using memory = new KvmMemory(8 * MIB);
  await load(linux({ kernel, cmdline: 'x'.repeat(2047) }), memory);
});

test('wrong options are refused at once', () => {
  const codeOfOptions = (options: object) => codeOf(() => linux(options as LinuxOptions));
  assert.is(codeOfOptions({}), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOfOptions({ kernel, command: '' }), 'ERR_UNKNOWN_OPTION');
  assert.is(codeOfOptions({ kernel, initrd: 5 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOfOptions({ kernel, cmdline: 5 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOfOptions({ kernel, cmdline: 'a\0b' }), 'ERR_OUT_OF_RANGE');
  assert.is(codeOfOptions({ kernel, cmdline: 'x'.repeat(65536) }), 'ERR_OUT_OF_RANGE');
  assert.is(codeOfOptions({ kernel, entry: 'efi' }), 'ERR_OUT_OF_RANGE');
  assert.is(codeOfOptions({ kernel, hardware: { virtio: {} } }), 'ERR_INVALID_ARG_TYPE');
});

test.run();

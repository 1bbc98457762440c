// Linux kernels: a bzImage or an ELF vmlinux, an initrd and a command line, started without firmware. Main thread. What files may
// contain is decided in setup-header.ts, elf-headers.ts and elf-notes.ts; where things lie, in linux-memory.ts.

import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { GIB, HOLE_END, hex, KIB, MIB } from '../../../shared/units.ts';
import { acpiSleep } from '../devices/acpi-sleep.ts';
import { powerDevices } from '../devices/power.ts';
import { pvpanic } from '../devices/pvpanic.ts';
import { acpiTables } from './acpi-tables.ts';
import { bootParams, hvmStartInfo } from './boot-params.ts';
import { identityMap } from './boot-tables.ts';
import { parseElf } from './elf-headers.ts';
import { noteRanges, pvhEntry } from './elf-notes.ts';
import { type CheckedHardware, checkHardware, type Hardware } from './hardware.ts';
import type { KvmImage, LoadTarget, VcpuBoot } from './image.ts';
import { type ImageFile, type ImageSource, imageSource } from './image-file.ts';
import {
  ACPI_TABLES,
  CMDLINE_ROOM,
  LINUX_PLACES,
  MAPPED,
  MP_TABLE,
  memoryMap,
  placeInitrd,
  requireHigh,
} from './linux-memory.ts';
import { linuxGdt, start64, startPvh } from './linux-start.ts';
import { mpTable } from './mp-table.ts';
import { type GuestRange, requireDisjoint, requireWritable } from './ranges.ts';
import { RESET_CODE, RESET_VECTOR } from './reset-vector.ts';
import { ENTRY_64, parseBzImage } from './setup-header.ts';

/** Node reads at most 2 GiB at once; neither a kernel nor an initrd below 3 GiB comes near. */
const FILE_MAX = GIB;
/** What kernels have their headers in: a bzImage's setup header, an ELF file's program headers. */
const HEADERS = 64 * KIB;
/** An ELF kernel does not say it: x86's COMMAND_LINE_SIZE without the NUL. */
const ELF_CMDLINE_MAX = 2047;
const INITRD_ADDR_MAX = 0x7fff_ffff;

/** What a kernel is told unless somebody says otherwise: its messages go to the first serial port, and a panic resets the machine. */
export const LINUX_CMDLINE = 'console=ttyS0 panic=-1';

/** Which of a kernel's entries is taken: 'pvh': 32-bit, by the ELF note; 'linux64': by the 64-bit boot protocol. */
export type LinuxEntry = 'auto' | 'pvh' | 'linux64';

export interface LinuxOptions {
  /** A bzImage (vmlinuz) or an ELF vmlinux: a path or `file:` URL, read when the image is loaded, or bytes, copied now. */
  readonly kernel: ImageSource;
  readonly initrd?: ImageSource;
  /** UTF-8 without NUL, as long as the kernel takes (2047 bytes are usual). Default ''. */
  readonly cmdline?: string;
  /** Default 'auto': an ELF kernel by its PVH note where it has one; all else by the 64-bit boot protocol. */
  readonly entry?: LinuxEntry;
  /** The devices that the guest is told about, besides the virtio devices that the VM was made with. Default: a serial port at 0x3f8. */
  readonly hardware?: Hardware;
}

interface Piece {
  readonly guestAddr: number;
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

/** A kernel that may be loaded: what goes where, and how it is started. */
interface Kernel {
  readonly entry: 'pvh' | 'linux64';
  readonly entryAddr: number;
  /** Everything that it needs before it knows the memory map. */
  readonly ranges: readonly GuestRange[];
  /** `fileSize` bytes of the file are copied to `guestAddr`; the rest of `memorySize` becomes zero. */
  readonly pieces: readonly Piece[];
  readonly header: Uint8Array | undefined;
  readonly cmdlineMax: number;
  readonly initrdAddrMax: number;
}

/**
 * A Linux kernel with its initrd and command line. vCPU 0 starts at the kernel's entry, the others wait for INIT and SIPI. It needs RAM
 * from address 0 on, and gets ACPI tables and an MP table for the VM's vCPUs and `hardware`. A compressed kernel decompresses itself.
 * The image brings the ports that turn the machine off and reset it (ACPI sleep and reset registers, keyboard controller's reset line);
 * devices of the user's on the same ports take their place. A guest that jumps to the PC's reset vector is reset too. So does the first serial port of `hardware`, which is `vm.console`. A
 * panicking kernel ends the VM with 'panic' when its driver pvpanic-mmio is loaded; without it, with what `panic=` on the command line
 * makes of it (`panic=-1`: a reset at once).
 * Loading throws `ERR_IMAGE_READ` (path, errno), `ERR_IMAGE_FORMAT` (field and value) or `ERR_IMAGE_RANGE`; memory is unchanged then, unless
 * a file that was accepted cannot be read to its end.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`.
 */
export function linux(options: LinuxOptions): KvmImage {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['kernel', 'initrd', 'cmdline', 'entry', 'hardware'], 'linux()');
  const { cmdline = '', entry = 'auto' } = options;
  const text = encodeCmdline(cmdline);
  if (entry !== 'auto' && entry !== 'pvh' && entry !== 'linux64')
    throw outOfRange('entry', "'auto', 'pvh' or 'linux64'", entry);
  const hardware = checkHardware(options.hardware);
  const ownTimer = options.hardware?.timer;
  const kernelFile = imageSource(options.kernel, 'kernel', FILE_MAX);
  const initrdFile = options.initrd === undefined ? undefined : imageSource(options.initrd, 'initrd', FILE_MAX);
  return {
    engine: 'kvm',
    kind: 'linux',
    platform: 'pc',
    devices: [acpiSleep(), ...powerDevices(), pvpanic()],
    console: hardware.serial[0],
    load: async target => {
      await using file = await kernelFile.open();
      await using initrd = await initrdFile?.open();
      const kernel = await parseKernel(file, kernelFile.name, entry);
      if (text.byteLength - 1 > kernel.cmdlineMax) {
        throw new HypervisorError(
          'ERR_IMAGE_RANGE',
          `the command line has ${text.byteLength - 1} bytes, and ${kernelFile.name} takes ${kernel.cmdlineMax}`,
          { info: { size: text.byteLength - 1, most: kernel.cmdlineMax } },
        );
      }
      // What the VM has comes first: its first disk is the guest's first.
      const virtio = [...(target.hardware?.virtio ?? []), ...hardware.virtio];
      const timer = ownTimer ?? target.hardware?.timer ?? true;
      return await place(target, kernel, {
        file,
        initrd,
        cmdline: text,
        hardware: checkHardware({ ...hardware, virtio, timer }),
      });
    },
  };
}

/** With the NUL. */
function encodeCmdline(cmdline: string): Uint8Array {
  if (typeof cmdline !== 'string') throw invalidType('cmdline', 'a string', cmdline);
  if (cmdline.includes('\0')) throw outOfRange('cmdline', 'a string without NUL', JSON.stringify(cmdline));
  const text = new TextEncoder().encode(`${cmdline}\0`);
  if (text.byteLength - 1 > CMDLINE_ROOM)
    throw outOfRange('cmdline', `at most ${hex(CMDLINE_ROOM)} bytes`, text.byteLength - 1);
  return text;
}

/** @throws HypervisorError `ERR_IMAGE_FORMAT`, `ERR_IMAGE_RANGE`, `ERR_IMAGE_READ` */
async function parseKernel(file: ImageFile, name: string, wanted: LinuxEntry): Promise<Kernel> {
  const { bytes } = file;
  await file.fetch(0, HEADERS);
  const isElf = bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
  const kernel = isElf ? await elfKernel(file, name, wanted) : bzImageKernel(bytes, name, wanted);
  for (const range of kernel.ranges) requireHigh(range);
  return kernel;
}

function bzImageKernel(bytes: Uint8Array, name: string, wanted: LinuxEntry): Kernel {
  if (wanted === 'pvh') throw noPvh(name, 'a bzImage has none: extract its vmlinux');
  const image = parseBzImage(bytes, name);
  const { loadAddr, codeOffset, codeSize, initSize } = image;
  return {
    entry: 'linux64',
    entryAddr: loadAddr + ENTRY_64,
    ranges: [{ start: loadAddr, end: loadAddr + initSize, what: name }],
    pieces: [{ guestAddr: loadAddr, fileOffset: codeOffset, fileSize: codeSize, memorySize: codeSize }],
    header: image.header,
    cmdlineMax: image.cmdlineMax,
    initrdAddrMax: image.initrdAddrMax,
  };
}

async function elfKernel(file: ImageFile, name: string, wanted: LinuxEntry): Promise<Kernel> {
  const { bytes } = file;
  // Program headers follow the file's header in every kernel; elsewhere they are allowed, and then the file is read twice.
  if (headersEnd(bytes) > HEADERS) await file.fetch(HEADERS, bytes.byteLength - HEADERS);
  const executable = parseElf(bytes, name);
  for (const { offset, size } of noteRanges(bytes)) if (offset < bytes.byteLength) await file.fetch(offset, size);
  const pvh = wanted === 'linux64' ? undefined : pvhEntry(bytes, executable, name);
  if (wanted === 'pvh' && pvh === undefined) throw noPvh(name, 'it has no note XEN_ELFNOTE_PHYS32_ENTRY');
  const entryAddr = pvh ?? executable.entry;
  if (entryAddr >= HOLE_END) {
    throw new HypervisorError('ERR_IMAGE_RANGE', `${name}: the entry ${hex(entryAddr)} is above 4 GiB`, {
      info: { entry: entryAddr },
    });
  }
  return {
    entry: pvh === undefined ? 'linux64' : 'pvh',
    entryAddr,
    ranges: executable.segments.map(({ guestAddr, memorySize, index }) => ({
      start: guestAddr,
      end: guestAddr + memorySize,
      what: `segment ${index} of ${name}`,
    })),
    pieces: executable.segments,
    header: undefined,
    cmdlineMax: ELF_CMDLINE_MAX,
    initrdAddrMax: INITRD_ADDR_MAX,
  };
}

/** Where an ELF file says that its program headers end; for files that are long enough to have a header. */
function headersEnd(bytes: Uint8Array): number {
  if (bytes.byteLength < HEADERS) return 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADERS);
  return Number(view.getBigUint64(32, true)) + view.getUint16(54, true) * view.getUint16(56, true);
}

function noPvh(name: string, why: string): HypervisorError {
  return new HypervisorError('ERR_IMAGE_FORMAT', `${name} cannot be started by PVH: ${why}`, {
    info: { field: 'XEN_ELFNOTE_PHYS32_ENTRY', value: 'absent' },
  });
}

/** Checks that everything has its place, then writes it. */
async function place(
  { memory, vcpus }: LoadTarget,
  kernel: Kernel,
  rest: {
    readonly file: ImageFile;
    readonly initrd: ImageFile | undefined;
    readonly cmdline: Uint8Array;
    readonly hardware: CheckedHardware;
  },
): Promise<VcpuBoot[]> {
  const regions = memory.regions();
  const { file, initrd, cmdline, hardware } = rest;
  requireWritable(regions, { start: 0, end: MIB, what: 'the first mebibyte' });
  for (const range of kernel.ranges) requireWritable(regions, range);
  const acpi = acpiTables(ACPI_TABLES.start, vcpus, hardware);
  const mp = mpTable(MP_TABLE.start, vcpus, hardware);
  requireFits(acpi.bytes, ACPI_TABLES, vcpus);
  requireFits(mp, MP_TABLE, vcpus);
  const kernelEnd = Math.max(...kernel.ranges.map(({ end }) => end));
  const initrdRange =
    initrd === undefined || initrd.bytes.byteLength === 0
      ? undefined
      : placeInitrd(regions, { size: initrd.bytes.byteLength, addrMax: kernel.initrdAddrMax, kernelEnd });
  if (initrdRange !== undefined) {
    requireWritable(regions, initrdRange);
    for (const range of kernel.ranges) requireDisjoint(initrdRange, range);
  }
  const facts = {
    map: memoryMap(regions, ACPI_TABLES.start + acpi.bytes.byteLength),
    cmdlineAddr: LINUX_PLACES.cmdline,
    initrd: initrdRange && { addr: initrdRange.start, size: initrdRange.end - initrdRange.start },
    rsdp: acpi.rsdp,
  };

  /** Straight into the guest's memory. */
  const copy = async (from: ImageFile, offset: number, guestAddr: number, size: number) => {
    await from.copy(offset, memory.views(guestAddr, size));
    memory.markWritten(guestAddr, size);
  };
  for (const { guestAddr, fileOffset, fileSize, memorySize } of kernel.pieces) {
    if (fileSize > 0) await copy(file, fileOffset, guestAddr, fileSize);
    if (memorySize > fileSize) memory.memset(guestAddr + fileSize, 0, memorySize - fileSize);
  }
  if (initrd !== undefined && initrdRange !== undefined)
    await copy(initrd, 0, initrdRange.start, initrd.bytes.byteLength);
  memory.write(LINUX_PLACES.cmdline, cmdline);
  memory.write(ACPI_TABLES.start, acpi.bytes);
  memory.write(MP_TABLE.start, mp);
  memory.write(RESET_VECTOR, RESET_CODE);
  memory.write(LINUX_PLACES.gdt, linuxGdt(kernel.entry === 'pvh' ? 32 : 64));
  if (kernel.entry === 'pvh') memory.write(LINUX_PLACES.startInfo, hvmStartInfo(facts, LINUX_PLACES.startInfo));
  else {
    memory.write(LINUX_PLACES.bootParams, bootParams(facts, kernel.header));
    memory.write(LINUX_PLACES.pageTables, identityMap(LINUX_PLACES.pageTables, MAPPED, false));
  }
  const first = kernel.entry === 'pvh' ? startPvh(kernel.entryAddr) : start64(kernel.entryAddr);
  return Array.from({ length: vcpus }, (_, index) => (index === 0 ? first : { runnable: false }));
}

/** @throws HypervisorError `ERR_IMAGE_RANGE` */
function requireFits(bytes: Uint8Array, room: GuestRange, vcpus: number): void {
  if (bytes.byteLength <= room.end - room.start) return;
  throw new HypervisorError(
    'ERR_IMAGE_RANGE',
    `${room.what} for ${vcpus} vCPUs have ${hex(bytes.byteLength)} bytes, more than the ${hex(room.end - room.start)} there`,
    { info: { size: bytes.byteLength, vcpus } },
  );
}

// Linux kernels: a bzImage or an ELF vmlinux, an initrd and a command line, started without firmware. Main thread. What files may
// contain is decided in setup-header.ts, elf-headers.ts and elf-notes.ts; where things lie, in linux-memory.ts.

import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { GIB, HOLE_END, hex } from '../../../shared/units.ts';
import { acpiSleep } from '../devices/acpi-sleep.ts';
import { powerDevices } from '../devices/power.ts';
import { pvpanic } from '../devices/pvpanic.ts';
import { acpiTables } from './acpi-tables.ts';
import { bootParams, hvmStartInfo } from './boot-params.ts';
import { identityMap } from './boot-tables.ts';
import { parseElf } from './elf-headers.ts';
import { pvhEntry } from './elf-notes.ts';
import { type CheckedHardware, checkHardware, type Hardware } from './hardware.ts';
import type { KvmImage, LoadTarget, VcpuBoot } from './image.ts';
import { type ImageSource, imageSource } from './image-file.ts';
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
import { ENTRY_64, parseBzImage } from './setup-header.ts';

/** Node reads at most 2 GiB at once; neither a kernel nor an initrd below 3 GiB comes near. */
const FILE_MAX = GIB;
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

/** A kernel that may be loaded: what goes where, and how it is started. */
interface Kernel {
  readonly entry: 'pvh' | 'linux64';
  readonly entryAddr: number;
  /** Everything that it needs before it knows the memory map. */
  readonly ranges: readonly GuestRange[];
  /** `file` is copied to `guestAddr`; the rest of `memorySize` becomes zero. */
  readonly pieces: readonly { readonly guestAddr: number; readonly file: Uint8Array; readonly memorySize: number }[];
  readonly header: Uint8Array | undefined;
  readonly cmdlineMax: number;
  readonly initrdAddrMax: number;
}

/**
 * A Linux kernel with its initrd and command line. vCPU 0 starts at the kernel's entry, the others wait for INIT and SIPI. It needs RAM
 * from address 0 on, and gets ACPI tables and an MP table for the VM's vCPUs and `hardware`. A compressed kernel decompresses itself.
 * The image brings the ports that turn the machine off and reset it (ACPI sleep and reset registers, keyboard controller's reset line);
 * devices of the user's on the same ports take their place. So does the first serial port of `hardware`, which is `vm.console`. A
 * panicking kernel ends the VM with 'panic' when its driver pvpanic-mmio is loaded; without it, with what `panic=` on the command line
 * makes of it (`panic=-1`: a reset at once).
 * Loading throws `ERR_IMAGE_READ` (path, errno), `ERR_IMAGE_FORMAT` (field and value) or `ERR_IMAGE_RANGE`; memory is unchanged then.
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
      const [bytes, initrd] = await Promise.all([kernelFile.read(), initrdFile?.read()]);
      const kernel = parseKernel(bytes, kernelFile.name, entry);
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
      return place(target, kernel, { initrd, cmdline: text, hardware: checkHardware({ ...hardware, virtio, timer }) });
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

/** @throws HypervisorError `ERR_IMAGE_FORMAT`, `ERR_IMAGE_RANGE` */
function parseKernel(bytes: Uint8Array, name: string, wanted: LinuxEntry): Kernel {
  const isElf = bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
  const kernel = isElf ? elfKernel(bytes, name, wanted) : bzImageKernel(bytes, name, wanted);
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
    pieces: [{ guestAddr: loadAddr, file: bytes.subarray(codeOffset, codeOffset + codeSize), memorySize: codeSize }],
    header: image.header,
    cmdlineMax: image.cmdlineMax,
    initrdAddrMax: image.initrdAddrMax,
  };
}

function elfKernel(bytes: Uint8Array, name: string, wanted: LinuxEntry): Kernel {
  const executable = parseElf(bytes, name);
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
    pieces: executable.segments.map(({ guestAddr, fileOffset, fileSize, memorySize }) => ({
      guestAddr,
      file: bytes.subarray(fileOffset, fileOffset + fileSize),
      memorySize,
    })),
    header: undefined,
    cmdlineMax: ELF_CMDLINE_MAX,
    initrdAddrMax: INITRD_ADDR_MAX,
  };
}

function noPvh(name: string, why: string): HypervisorError {
  return new HypervisorError('ERR_IMAGE_FORMAT', `${name} cannot be started by PVH: ${why}`, {
    info: { field: 'XEN_ELFNOTE_PHYS32_ENTRY', value: 'absent' },
  });
}

/** Checks that everything has its place, then writes it. */
function place(
  { memory, vcpus }: LoadTarget,
  kernel: Kernel,
  rest: { readonly initrd: Uint8Array | undefined; readonly cmdline: Uint8Array; readonly hardware: CheckedHardware },
): VcpuBoot[] {
  const regions = memory.regions();
  const { initrd, cmdline, hardware } = rest;
  requireWritable(regions, { start: 0, end: MP_TABLE.end, what: 'the first mebibyte' });
  for (const range of kernel.ranges) requireWritable(regions, range);
  const acpi = acpiTables(ACPI_TABLES.start, vcpus, hardware);
  const mp = mpTable(MP_TABLE.start, vcpus, hardware);
  requireFits(acpi.bytes, ACPI_TABLES, vcpus);
  requireFits(mp, MP_TABLE, vcpus);
  const kernelEnd = Math.max(...kernel.ranges.map(({ end }) => end));
  const initrdRange =
    initrd === undefined || initrd.byteLength === 0
      ? undefined
      : placeInitrd(regions, { size: initrd.byteLength, addrMax: kernel.initrdAddrMax, kernelEnd });
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

  for (const { guestAddr, file, memorySize } of kernel.pieces) {
    if (file.byteLength > 0) memory.write(guestAddr, file);
    if (memorySize > file.byteLength) memory.memset(guestAddr + file.byteLength, 0, memorySize - file.byteLength);
  }
  if (initrd !== undefined && initrdRange !== undefined) memory.write(initrdRange.start, initrd);
  memory.write(LINUX_PLACES.cmdline, cmdline);
  memory.write(ACPI_TABLES.start, acpi.bytes);
  memory.write(MP_TABLE.start, mp);
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

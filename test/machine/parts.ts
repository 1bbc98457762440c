// Builds what the emulated machine is made of, in build/machine/: Debian's kernel, an initrd with its KVM modules, and a read-only
// root image with Node, the built project, and the kernel and initrd of the tests' own Linux guests. Each part is kept and made again only when its inputs changed. Host side; starts
// programs of Debian packages; never imports the library.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { filesIn, makeInitrd, output } from './initrd.ts';
import { runtimePackages } from './runtime-packages.ts';

/** Where everything is made, from the repository's root. */
export const folder = 'build/machine';

/**
 * Debian's kernels for virtual machines: small, with virtio and the serial console in reach, and KVM as a module. The first that apt
 * knows is taken: 6.12 has the kernel's write tracking (PAGEMAP_SCAN), which the 6.1 that Debian 12 has by default lacks.
 */
const KERNELS = ['linux-image-6.12-cloud-amd64', 'linux-image-cloud-amd64'];

/** Loaded in the machine, after what they depend on. */
const MODULES = ['virtio_pci', 'virtio_blk', 'kvm', 'kvm_amd'];

/** What jobs in the tests' own Linux guests may load. */
const GUEST_MODULES = [
  'pvpanic_mmio',
  'virtio_mmio',
  'virtio_blk',
  'virtio_rng',
  'virtio_net',
  'virtio_balloon',
  'vmw_vsock_virtio_transport',
];

/** What tests read from the system. */
const SYSTEM_FILES = ['/usr/share/seabios/bios-256k.bin'];

/** What tests read from the project, besides the packages of node_modules. */
const PROJECT = [
  'package.json',
  'ARCHITECTURE.md',
  'dist',
  'prebuilds',
  'build/test',
  'build/guest',
  'build/linux',
  'build/examples',
];

/**
 * The kernel's selftests that the lab has as peers travel along from the folder that NODE_KVM_SELFTESTS names here, to where the lab looks for them without being
 * told.
 */
const SELFTESTS = ['dirty_log_perf_test', 'memslot_perf_test', 'access_tracking_perf_test'];
const SELFTESTS_INSIDE = '/usr/lib/kselftests/kvm';

/** What QEMU reads to start a kernel on its microvm. */
const QEMU_FIRMWARE = ['bios-microvm.bin', 'kvmvapic.bin', 'linuxboot_dma.bin', 'pvh.bin'].map(
  name => `/usr/share/qemu/${name}`,
);

export interface Parts {
  readonly kernel: string;
  readonly initrd: string;
  readonly root: string;
}

/** Says what the inputs are without reading them all: name, size and time of change. */
function stampOf(inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of inputs.flatMap(filesIn)) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

/** Makes `target` unless it is there and was made from the same inputs. An interrupted attempt leaves nothing that counts. */
function keep(target: string, stamp: string, make: (unfinished: string) => void): string {
  const note = `${target}.stamp`;
  if (existsSync(target) && existsSync(note) && readFileSync(note, 'utf8') === stamp) return target;
  console.log(`machine: making ${target}`);
  const unfinished = `${target}.unfinished`;
  rmSync(unfinished, { force: true, recursive: true });
  make(unfinished);
  rmSync(target, { force: true, recursive: true });
  renameSync(unfinished, target);
  writeFileSync(note, stamp);
  return target;
}

/** The package that the newest version of `kernel` is in, if apt knows any. */
function kernelPackage(kernel: string): string | undefined {
  try {
    return /Depends: (linux-image-\S+)/.exec(output('apt-cache', ['depends', kernel]))?.[1];
  } catch {
    // apt-cache fails for a name that it does not know.
    return undefined;
  }
}

/** The kernel package's files, unpacked and not installed. Fetched once: remove build/machine to get a newer one. */
function unpackKernel(): string {
  return keep(join(folder, 'kernel-package'), KERNELS.join(' '), unfinished => {
    const name = KERNELS.map(kernelPackage).find(found => found !== undefined);
    if (name === undefined) throw new Error(`apt knows none of ${KERNELS.join(', ')} (apt-get update?)`);
    mkdirSync(unfinished, { recursive: true });
    execFileSync('apt-get', ['download', '-qq', name], { cwd: unfinished, stdio: ['ignore', 'inherit', 'pipe'] });
    for (const deb of readdirSync(unfinished)) {
      output('dpkg-deb', ['-x', join(unfinished, deb), unfinished]);
      rmSync(join(unfinished, deb));
    }
  });
}

/** How a kernel's payload may be compressed: its first bytes, and the program that unpacks it. */
const COMPRESSIONS: readonly (readonly [magic: string, program: string])[] = [
  ['02214c18', 'lz4'],
  ['fd377a58', 'xz'],
  ['28b52ffd', 'zstd'],
  ['1f8b', 'gzip'],
];

/** The uncompressed kernel out of a bzImage: saves the emulated machine from decompressing it at each start. */
function extractKernel(image: Buffer): Buffer {
  // Linux/x86 boot protocol: setup_sects at 0x1f1, payload_offset and payload_length at 0x248.
  if (image.toString('latin1', 0x202, 0x206) !== 'HdrS') throw new Error('the kernel is no bzImage');
  const start = ((image[0x1f1] || 4) + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  const magic = payload.toString('hex', 0, 4);
  const program = COMPRESSIONS.find(([bytes]) => magic.startsWith(bytes))?.[1];
  if (program === undefined) throw new Error(`the kernel's compression ${magic} is not known`);
  // The last four bytes are the kernel's size, not part of the stream.
  const size = payload.readUInt32LE(payload.length - 4);
  const kernel = execFileSync(program, ['-dc'], {
    input: payload.subarray(0, -4),
    maxBuffer: size + 4096,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  if (kernel.length !== size) throw new Error(`the kernel unpacks to ${kernel.length} bytes, not to ${size}`);
  return kernel;
}

/** The shared libraries that a program or an addon is linked with. */
const libraries = (file: string) => [...new Set(output('ldd', [file]).match(/\/\S+/g) ?? [])].filter(existsSync);

/** Everything that the root image has, as pairs of where it is here and where it will be. `qemu`: takes it along, and what is measured against it. */
function rootContents(guest: readonly string[], qemu: string | undefined): (readonly [from: string, to: string])[] {
  const addons = filesIn('prebuilds').filter(file => file.endsWith('.node'));
  const selftests = SELFTESTS.map(name => join(process.env['NODE_KVM_SELFTESTS'] ?? '', name)).filter(existsSync);
  const emulator = qemu === undefined ? [] : [qemu, ...QEMU_FIRMWARE];
  const system = [process.execPath, ...addons, ...selftests, ...emulator.slice(0, 1)].flatMap(libraries);
  return [
    [realpathSync(process.execPath), '/usr/bin/node'] as const,
    ...[...new Set(system), ...SYSTEM_FILES, ...emulator].filter(existsSync).map(file => [file, file] as const),
    ...selftests.map(file => [file, join(SELFTESTS_INSIDE, basename(file))] as const),
    ...[...PROJECT, ...(qemu === undefined ? [] : ['build/bench']), ...guest, ...runtimePackages(['fast-check'])]
      .filter(existsSync)
      .map(path => [path, `/project/${path}`] as const),
  ];
}

/** Without source maps: each process and thread would parse those of all that it loads, a quarter of a test file's time. */
function makeRoot(contents: ReturnType<typeof rootContents>, busybox: string, target: string): void {
  const tree = `${target}.tree`;
  rmSync(tree, { force: true, recursive: true });
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp']) mkdirSync(join(tree, name), { recursive: true });
  copyFileSync(busybox, join(tree, 'bin/busybox'));
  for (const name of output(busybox, ['--list']).trim().split('\n'))
    if (name !== 'busybox') symlinkSync('busybox', join(tree, 'bin', name));
  for (const [from, to] of contents) {
    mkdirSync(dirname(tree + to), { recursive: true });
    cpSync(from, tree + to, { recursive: true, dereference: true, filter: file => !file.endsWith('.map') });
  }
  // Each file takes whole blocks of 4 KiB, and the file system some more for itself.
  const bytes = contents.flatMap(([from]) => filesIn(from)).reduce((sum, file) => sum + statSync(file).size + 8192, 0);
  const mib = Math.ceil((bytes * 1.1) / (1 << 20)) + 16;
  output('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', tree, target, `${mib}M`]);
  rmSync(tree, { recursive: true });
}

/** The emulated machine's kernel and initrd, and what guests boot: makes what is missing or out of date. */
export function buildKernelParts(busybox: string) {
  mkdirSync(folder, { recursive: true });
  const package_ = unpackKernel();
  const image = filesIn(join(package_, 'boot')).find(file => /\/vmlinuz-/.test(file));
  if (image === undefined) throw new Error('the kernel package has no kernel');
  const kernel = keep(join(folder, 'vmlinux'), stampOf([image]), unfinished =>
    writeFileSync(unfinished, extractKernel(readFileSync(image))),
  );
  const initrdOf = (name: string, init: string, modules: readonly string[]) =>
    keep(
      join(folder, name),
      stampOf([image, busybox, init, 'test/machine/initrd.ts', 'test/machine/parts.ts']),
      unfinished => makeInitrd({ kernelPackage: package_, busybox, init, modules }, unfinished),
    );
  const initrd = initrdOf('initrd.cpio', 'test/machine/init.sh', MODULES);
  // The same kernel, in both forms, is what the tests' guests boot.
  const compressed = keep(join(folder, 'vmlinuz'), stampOf([image]), unfinished => copyFileSync(image, unfinished));
  const guest = [kernel, compressed, initrdOf('guest.cpio', 'test/machine/guest-init.sh', GUEST_MODULES)];
  return { kernel, initrd, guest };
}

/** Makes what is missing or out of date. `busybox` is the static busybox of this machine; `qemu`, a program, goes into an image of its own. */
export function buildParts(busybox: string, qemu?: string): Parts {
  const { kernel, initrd, guest } = buildKernelParts(busybox);
  const contents = rootContents(guest, qemu);
  const name = qemu === undefined ? 'root.ext4' : 'root-qemu.ext4';
  const root = keep(join(folder, name), stampOf([busybox, ...contents.map(([from]) => from)]), unfinished =>
    makeRoot(contents, busybox, unfinished),
  );
  return { kernel, initrd, root };
}

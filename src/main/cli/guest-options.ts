// The options that say which guest runs and how, for every command that runs an image. Main thread. What they make is in guest.ts.

import { type Command, Option } from 'commander';
import { MIB } from '../../../shared/units.ts';
import type { DiskOptions } from '../../devices/open-disk.ts';
import { FORMATS } from './image-format.ts';
import { choice, parseAddress, parseCount, parseSeconds, parseSize, splitList, UsageError } from './values.ts';

/** Commander's values after their parsers. */
export interface GuestOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly disk?: readonly DiskOptions[];
  readonly vsock?: SocketOptions;
  readonly rng?: boolean;
  readonly cpus: number;
  readonly memory: number;
  readonly engine: 'auto' | 'kvm' | 'host';
  readonly format: (typeof FORMATS)[number];
  readonly mode?: '16' | '32' | '64';
  readonly cpl?: '0' | '3';
  readonly at?: number;
  readonly entry?: number;
  readonly timeout?: number;
}

/** --vsock: where programs of the host's reach the guest, and the guest's address. */
export interface SocketOptions {
  readonly path: string;
  readonly cid?: number;
}

/** What every such command says at the end of its help. */
export const GUEST_HELP = `
A Linux kernel (bzImage or ELF) has the first serial port, ttyS0, as its console; --cmdline comes after 'console=ttyS0 panic=-1'.
It needs an ordinary KVM: on a PVM kernel, which emulates ring 0, stock kernels do not boot. For any other image, the console is what the guest writes to ports 0x3f8 (serial), 0xe9 and 0x402; 0x2000 to port 0x604 powers off.
--disk, --rng and --vsock are virtio-mmio devices; of a disk, 'ro' refuses writes and 'overlay' keeps them out of the file, until the end.
A comma in a path is written twice. --vsock: who connects to the UNIX socket <path> and says 'CONNECT <port>' reaches that port of the
guest (the answer is 'OK <port of the host>'); the guest's connections to port N of the host (CID 2) go to the UNIX socket <path>_N.
`;

/** Adds the image as the only argument, which --kernel may stand for, and the options. */
export function withGuestOptions(command: Command): Command {
  return command
    .argument('[image]', 'path of the image')
    .option('--kernel <file>', 'the image is this Linux kernel: a bzImage (vmlinuz) or an ELF vmlinux')
    .option('--initrd <file>', 'linux: its initial file system')
    .option('--cmdline <text>', "linux: more of the kernel's command line")
    .option('--disk <file[,ro][,overlay][,id=text]>', 'a file as a disk; any number of them, in this order', addDisk)
    .option('--vsock <path[,cid=number]>', 'a socket device, behind the UNIX socket <path>', parseSocket)
    .option('--rng', 'an entropy device')
    .option('--cpus <count>', 'number of vCPUs', parseCount, 1)
    .addOption(new Option('--memory <size>', 'guest RAM: 64M, 2G, …').argParser(parseSize).default(256 * MIB, '256M'))
    .addOption(choice('--engine <engine>', 'what executes the vCPUs', ['auto', 'kvm', 'host']).default('auto'))
    .addOption(choice('--format <format>', 'what the image is', FORMATS).default('auto'))
    .addOption(choice('--mode <bits>', 'flat: start in real, protected or long mode (default 64)', ['16', '32', '64']))
    .addOption(choice('--cpl <ring>', 'elf and flat: privilege level (default 0)', ['0', '3']))
    .option('--at <address>', 'flat: where the image goes (default 0x7c00 in 16-bit mode, else 0x100000)', parseAddress)
    .option('--entry <address>', 'flat: first instruction (default: where the image is)', parseAddress)
    .option('--timeout <seconds>', 'end the guest after that time; that is a failure', parseSeconds)
    .allowExcessArguments(false);
}

/** What a guest can read of a disk's serial number (virtio-blk's VIRTIO_BLK_ID_BYTES). */
const ID_MAX = 20;

function addDisk(text: string, before: readonly DiskOptions[] = []): readonly DiskOptions[] {
  const [path = '', ...words] = splitList(text);
  if (path === '') throw new UsageError(`'${text}' is no disk: it begins with the path of a file`);
  const disk: { path: string; readOnly?: boolean; overlay?: boolean; id?: string } = { path };
  for (const word of words) {
    const id = /^id=(.+)$/s.exec(word)?.[1];
    if (word === 'ro') disk.readOnly = true;
    else if (word === 'overlay') disk.overlay = true;
    else if (id === undefined)
      throw new UsageError(`'${text}' is no disk: '${word}' is none of ro, overlay and id=<text>`);
    else if (Buffer.byteLength(id) > ID_MAX)
      throw new UsageError(`'${text}' is no disk: the id has more than ${ID_MAX} bytes`);
    else disk.id = id;
  }
  if (disk.readOnly === true && disk.overlay === true)
    throw new UsageError(`'${text}' is no disk: what cannot be written needs no overlay`);
  return [...before, disk];
}

function parseSocket(text: string): SocketOptions {
  const [path = '', ...words] = splitList(text);
  if (path === '') throw new UsageError(`'${text}' is no socket: it begins with a path`);
  let cid: number | undefined;
  for (const word of words) {
    const digits = /^cid=(\d+)$/.exec(word)?.[1];
    if (digits === undefined) throw new UsageError(`'${text}' is no socket: '${word}' is not cid=<number>`);
    cid = Number(digits);
  }
  return { path, ...(cid === undefined ? {} : { cid }) };
}

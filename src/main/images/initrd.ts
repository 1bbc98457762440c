// Files for an initrd: an archive of them that goes behind the one that there is, of whatever compression. Main thread; pure. The format is cpio's
// "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst); the kernel unpacks one archive after the other, and the last of two files stays.

import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';

/** The kernel's PATH_MAX, with the NUL. */
const PATH_MAX = 4096;
const DATA_MAX = 2 ** 32 - 1;
const MODE_MAX = 0o7777;
const REGULAR_FILE = 0o100000;
const FOLDER = 0o040000;
const TRAILER = 'TRAILER!!!';

/** A file or folder that an initrd gets. */
export interface InitrdFile {
  /**
   * Where it goes, from the root on, such as `bin/agent`. A `/` at the end makes a folder. Folders on the way must be there: in the initrd, or before it in
   * the list.
   */
  readonly path: string;
  /** Text becomes UTF-8. Default: empty. */
  readonly data?: Uint8Array | string;
  /** Permissions. Default 0o644, and 0o755 for folders; root owns everything. */
  readonly mode?: number;
}

/**
 * `initrd` with more files: they replace those of the same path. The initrd may be compressed, and is not looked into; an empty one makes an archive of
 * the files alone. For `initrd` of `VirtualMachine.create` or `linux()`; a copy.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE`
 */
export function extendInitrd(initrd: Uint8Array, files: readonly InitrdFile[]): Uint8Array {
  if (!(initrd instanceof Uint8Array)) throw invalidType('initrd', 'a Uint8Array', initrd);
  if (!Array.isArray(files)) throw invalidType('files', 'an array', files);
  const parts = files.flatMap((file: InitrdFile, index) => entryOf(file, index));
  // At least four zeroes: to LZ4's decompressor they are the end of what is compressed.
  const gap = new Uint8Array(4 + paddingOf(initrd.byteLength));
  const all = [...(initrd.byteLength === 0 ? [] : [initrd, gap]), ...parts, ...entry(TRAILER, 0, new Uint8Array(0), 0)];
  const archive = new Uint8Array(all.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of all) {
    archive.set(part, at);
    at += part.byteLength;
  }
  return archive;
}

function entryOf(file: InitrdFile, index: number): Uint8Array[] {
  const name = `files[${index}]`;
  if (typeof file !== 'object' || file === null) throw invalidType(name, 'an object', file);
  refuseUnknownKeys(file, ['path', 'data', 'mode'], name);
  const { path, data = '' } = file;
  if (typeof path !== 'string') throw invalidType(`${name}.path`, 'a string', path);
  const isFolder = path.endsWith('/');
  const steps = path.split('/').filter(step => step !== '' && step !== '.');
  const relative = steps.join('/');
  if (relative === '' || steps.includes('..') || path.includes('\0') || relative === TRAILER)
    throw outOfRange(`${name}.path`, "a path from the root on, without '..' and NUL", JSON.stringify(path));
  if (new TextEncoder().encode(relative).byteLength >= PATH_MAX)
    throw outOfRange(`${name}.path`, `less than ${PATH_MAX} bytes`, `${relative.length} characters`);
  if (typeof data !== 'string' && !(data instanceof Uint8Array))
    throw invalidType(`${name}.data`, 'a Uint8Array or a string', data);
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  if (bytes.byteLength > (isFolder ? 0 : DATA_MAX))
    throw outOfRange(`${name}.data`, isFolder ? 'nothing, for a folder' : 'less than 4 GiB', bytes.byteLength);
  const { mode = isFolder ? 0o755 : 0o644 } = file;
  if (typeof mode !== 'number') throw invalidType(`${name}.mode`, 'a number', mode);
  if (!Number.isInteger(mode) || mode < 0 || mode > MODE_MAX) throw outOfRange(`${name}.mode`, '0 to 0o7777', mode);
  // An inode each: those of an archive tell hard links apart.
  return entry(relative, mode | (isFolder ? FOLDER : REGULAR_FILE), bytes, index + 1);
}

/** Header and name, and data, each padded to four bytes. */
function entry(path: string, mode: number, data: Uint8Array, inode: number): Uint8Array[] {
  const name = new TextEncoder().encode(`${path}\0`);
  // inode, mode, uid, gid, links, time, size, device (2), node's device (2), length of the name, checksum.
  const fields = [inode, mode, 0, 0, 1, 0, data.byteLength, 0, 0, 0, 0, name.byteLength, 0];
  const header = new TextEncoder().encode(`070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}`);
  return [
    header,
    name,
    new Uint8Array(paddingOf(header.byteLength + name.byteLength)),
    data,
    new Uint8Array(paddingOf(data.byteLength)),
  ];
}

function paddingOf(length: number): number {
  return -length & 3;
}

// What a disk of a VM is made from, and the making: a file, alone or with an overlay over it. The options are checked on the main thread, the
// files opened on the I/O worker. Imports shared/ and Node only.

import { invalidType, refuseUnknownKeys } from '../../shared/errors.ts';
import type { Disk } from '../../shared/virtio/blk.ts';
import { FileDisk, type FileDiskOptions } from './file-disk.ts';
import { OverlayDisk } from './overlay-disk.ts';

export interface DiskOptions {
  /** A regular file of whole sectors of 512 bytes. */
  readonly path: string;
  /** The guest cannot write. Default false. */
  readonly readOnly?: boolean;
  /**
   * The guest writes, and the file stays as it is: what was written lies in a temporary file without a name, and is gone with the VM. Several VMs
   * may have the same file so. Default false.
   */
  readonly overlay?: boolean;
  /** What the guest reads as the disk's serial number: 20 bytes at most. Default: the file's inode number. */
  readonly id?: string;
}

/** A disk that holds files open. */
export type OpenDisk = Disk & AsyncDisposable;

/** A copy, with every option checked. `name` is for messages. @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION` */
export function checkDiskOptions(options: DiskOptions, name: string): DiskOptions {
  if (typeof options !== 'object' || options === null) throw invalidType(name, 'an object', options);
  refuseUnknownKeys(options, ['path', 'readOnly', 'overlay', 'id'], name);
  const { path, readOnly = false, overlay = false, id } = options;
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw invalidType(`${name}.path`, 'a path that is not empty and has no NUL', path);
  if (typeof readOnly !== 'boolean') throw invalidType(`${name}.readOnly`, 'a boolean', readOnly);
  if (typeof overlay !== 'boolean') throw invalidType(`${name}.overlay`, 'a boolean', overlay);
  if (readOnly && overlay) throw invalidType(`${name}.overlay`, 'false where readOnly is true', overlay);
  if (id !== undefined && typeof id !== 'string') throw invalidType(`${name}.id`, 'a string', id);
  return { path, readOnly, overlay, ...(id === undefined ? {} : { id }) };
}

/** `punchHole`: as FileDisk takes it. @throws HypervisorError `ERR_IMAGE_READ` (path, errno), `ERR_IMAGE_FORMAT` for what is no disk */
export async function openDisk(
  { path, readOnly = false, overlay = false, id }: DiskOptions,
  punchHole?: FileDiskOptions['punchHole'],
): Promise<OpenDisk> {
  const base = await FileDisk.open(path, {
    readOnly: readOnly || overlay,
    ...(id === undefined ? {} : { id }),
    ...(punchHole === undefined ? {} : { punchHole }),
  });
  if (!overlay) return base;
  try {
    return await OverlayDisk.over(base);
  } catch (error) {
    await base[Symbol.asyncDispose]();
    throw error;
  }
}

// A cpio archive of some files, as the kernel takes it behind another one in an initrd ("newc", Linux: Documentation/driver-api/
// early-userspace/buffer-format.rst). For tests.

/** Text as a number of eight hexadecimal digits. */
const field = (value: number) => value.toString(16).padStart(8, '0');

function entry(name: string, mode: number, data: Uint8Array): Buffer {
  const path = Buffer.from(`${name}\0`);
  // inode, mode, uid, gid, links, time, size, device (2), node's device (2), length of the name, checksum.
  const fields = [1, mode, 0, 0, 1, 0, data.byteLength, 0, 0, 0, 0, path.byteLength, 0];
  const head = Buffer.concat([Buffer.from(`070701${fields.map(field).join('')}`), path]);
  return Buffer.concat([pad(head), pad(data)]);
}

function pad(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.byteLength & 3)]);
}

/** A file, and where it goes; its folder must be in the archive. */
export interface ArchiveFile {
  readonly name: string;
  readonly data: Uint8Array;
  readonly executable?: boolean;
}

/** `archive`, whole, with more files at its end. */
export function withFiles(archive: Uint8Array, files: readonly ArchiveFile[]): Buffer {
  const entries = files.map(({ name, data, executable }) =>
    entry(name, executable === true ? 0o100755 : 0o100644, data),
  );
  return Buffer.concat([pad(archive), ...entries, entry('TRAILER!!!', 0, new Uint8Array(0))]);
}

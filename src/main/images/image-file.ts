// Bytes of an image: from a file or from memory, always a private copy, so that what was checked is what is loaded.
// Main thread. Knows nothing about formats.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { HypervisorError, invalidType, outOfRange } from '../../../shared/errors.ts';
import { hex } from '../../../shared/units.ts';

/** Where an image comes from: a path, a `file:` URL or the bytes themselves. */
export type ImageSource = string | URL | Uint8Array;

/** A source that was checked and, for bytes, copied: `name` is for messages, `read` gives bytes that nobody else holds. */
export interface ImageBytes {
  readonly name: string;
  read(): Promise<Uint8Array>;
}

/**
 * Takes a source as it is given to a loader. Bytes are copied now: later changes by the caller (or by a guest that shares
 * them) do not reach the loader. A file is read when the image is loaded, up to `maxBytes`.
 * @throws TypeError `ERR_INVALID_ARG_TYPE`; RangeError `ERR_OUT_OF_RANGE` for more than `maxBytes` bytes.
 */
export function imageSource(source: ImageSource, name: string, maxBytes: number): ImageBytes {
  if (source instanceof Uint8Array) {
    if (source.byteLength > maxBytes)
      throw outOfRange(`${name}.byteLength`, `at most ${hex(maxBytes)}`, source.byteLength);
    const copy = new Uint8Array(source);
    return { name: 'image', read: () => Promise.resolve(copy) };
  }
  if (typeof source !== 'string' && !(source instanceof URL))
    throw invalidType(name, 'a path, a file: URL or a Uint8Array', source);
  if (source instanceof URL && source.protocol !== 'file:') throw invalidType(name, 'a file: URL', source.href);
  const path = source instanceof URL ? fileURLToPath(source) : source;
  if (path === '' || path.includes('\0'))
    throw invalidType(name, 'a path that is not empty and has no NUL', JSON.stringify(path));
  return { name: path, read: () => readWhole(path, maxBytes) };
}

/** @throws HypervisorError `ERR_IMAGE_READ` with the path, and `errno` where the system refused. */
async function readWhole(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer; it is refused below.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const status = await file.stat();
      if (!status.isFile()) throw new HypervisorError('ERR_IMAGE_READ', `${path} is not a regular file`);
      if (status.size > maxBytes) {
        throw new HypervisorError(
          'ERR_IMAGE_READ',
          `${path} has ${hex(status.size)} bytes, more than the ${hex(maxBytes)} of any such image`,
        );
      }
      return await readInto(file, new Uint8Array(status.size), path);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof HypervisorError) throw cause;
    const { code, errno, syscall } = cause as NodeJS.ErrnoException;
    throw new HypervisorError(
      'ERR_IMAGE_READ',
      `${path} cannot be read: ${code ?? String(cause)}${syscall === undefined ? '' : ` (${syscall})`}`,
      {
        cause,
        ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
        ...(syscall === undefined ? {} : { syscall }),
      },
    );
  }
}

/** One buffer, filled in as few calls as the system takes: a kernel has tens of megabytes. */
async function readInto(file: FileHandle, bytes: Uint8Array, path: string): Promise<Uint8Array> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, done, bytes.byteLength - done, done);
    if (bytesRead === 0) throw new HypervisorError('ERR_IMAGE_READ', `${path} became shorter while it was read`);
    done += bytesRead;
  }
  return bytes;
}

// Bytes of an image: from a file or from memory. What is looked into is always a private copy, so that what was checked is what counts.
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
  /** For kernels, of which some pages are looked into and tens of megabytes only copied. The caller disposes of it. */
  open(): Promise<ImageFile>;
}

/** An image that is read in parts. Both functions reject with `ERR_IMAGE_READ`. */
export interface ImageFile extends AsyncDisposable {
  /** As long as the image; what fetch() has not brought yet is zeros, which take no memory. */
  readonly bytes: Uint8Array;
  /** Brings [offset, offset + length) into `bytes`, as far as the image goes. */
  fetch(offset: number, length: number): Promise<void>;
  /** Fills `views`, one after the other, with what lies from `offset` on; the image must have so much. */
  copy(offset: number, views: readonly Uint8Array[]): Promise<void>;
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
    return { name: 'image', read: () => Promise.resolve(copy), open: () => Promise.resolve(inMemory(copy)) };
  }
  if (typeof source !== 'string' && !(source instanceof URL))
    throw invalidType(name, 'a path, a file: URL or a Uint8Array', source);
  if (source instanceof URL && source.protocol !== 'file:') throw invalidType(name, 'a file: URL', source.href);
  const path = source instanceof URL ? fileURLToPath(source) : source;
  if (path === '' || path.includes('\0'))
    throw invalidType(name, 'a path that is not empty and has no NUL', JSON.stringify(path));
  return { name: path, read: () => readWhole(path, maxBytes), open: () => openFile(path, maxBytes) };
}

function inMemory(bytes: Uint8Array): ImageFile {
  return {
    bytes,
    fetch: () => Promise.resolve(),
    copy: async (offset, views) => {
      let at = offset;
      for (const view of views) {
        view.set(bytes.subarray(at, at + view.byteLength));
        at += view.byteLength;
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function readWhole(path: string, maxBytes: number): Promise<Uint8Array> {
  await using file = await openFile(path, maxBytes);
  await file.fetch(0, file.bytes.byteLength);
  return file.bytes;
}

async function openFile(path: string, maxBytes: number): Promise<ImageFile> {
  // O_NONBLOCK: opening a FIFO must not wait for a writer; it is refused below.
  const file = await coded(path, () => open(path, constants.O_RDONLY | constants.O_NONBLOCK));
  try {
    const status = await coded(path, () => file.stat());
    if (!status.isFile()) throw new HypervisorError('ERR_IMAGE_READ', `${path} is not a regular file`);
    if (status.size > maxBytes) {
      throw new HypervisorError(
        'ERR_IMAGE_READ',
        `${path} has ${hex(status.size)} bytes, more than the ${hex(maxBytes)} of any such image`,
      );
    }
    const bytes = new Uint8Array(status.size);
    const fill = (into: Uint8Array, offset: number) => coded(path, () => readFully(file, path, into, offset));
    return {
      bytes,
      fetch: (offset, length) => fill(bytes.subarray(offset, offset + length), offset),
      copy: async (offset, views) => {
        let at = offset;
        for (const view of views) {
          await fill(view, at);
          at += view.byteLength;
        }
      },
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** In as few calls as the system takes. */
async function readFully(file: FileHandle, path: string, into: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < into.byteLength) {
    const { bytesRead } = await file.read(into, done, into.byteLength - done, offset + done);
    if (bytesRead === 0) throw new HypervisorError('ERR_IMAGE_READ', `${path} became shorter while it was read`);
    done += bytesRead;
  }
}

/** What the system refuses becomes `ERR_IMAGE_READ`, with the path and `errno`. */
async function coded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
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

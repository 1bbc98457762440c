// Images and memories for tests of the loaders: a small memory, its bytes, and what a loader refused.

import { type HypervisorError, type Image, KvmMemory } from 'node-kvm';

type KvmImage = Extract<Image, { engine: 'kvm' }>;

/** Loads without a VM: memory and start states are all that a loader knows. */
export function load(image: KvmImage, memory: KvmMemory, vcpus = 1): ReturnType<KvmImage['load']> {
  return image.load({ memory, vcpus });
}

/** Everything in memory, for comparing before and after. */
export function contents(memory: KvmMemory): Buffer {
  const bytes = Buffer.alloc(memory.addressLimit());
  memory.dumpAll(bytes);
  return bytes;
}

/**
 * Loads an image that must be refused into a new memory of `size` bytes filled with 0x55; returns the error.
 * Throws when it was accepted or when a byte of memory changed.
 */
export async function refusedLoad(image: KvmImage, size: number, vcpus = 1): Promise<HypervisorError> {
  using memory = new KvmMemory(size);
  memory.memset(0, 0x55, size);
  const before = contents(memory);
  try {
    await load(image, memory, vcpus);
  } catch (error) {
    if (!contents(memory).equals(before)) throw new Error('memory changed', { cause: error });
    if (memory.regions().length !== 1) throw new Error('the region table changed', { cause: error });
    return error as HypervisorError;
  }
  throw new Error('the image was accepted');
}

/** The `code` of what `body` throws. */
export function codeOf(body: () => unknown): string | undefined {
  try {
    body();
  } catch (error) {
    return (error as { code?: string }).code;
  }
  throw new Error('nothing was thrown');
}

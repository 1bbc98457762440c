// What the device of examples/custom-device.ts says, apart from it. For its tests.

import { createCipheriv, createHash } from 'node:crypto';

/** The first `bytes` of its stream for a seed. */
export function seededBytes(seed: string, bytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

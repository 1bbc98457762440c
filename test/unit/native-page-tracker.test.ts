// The kernel's write tracking through the addon: what its arguments may be, and that it reports what JavaScript writes. Without KVM.

import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { suiteUnless } from '../harness.ts';

const addon = native();
const PAGE = addon.pageSize;

function unsupported(): string | undefined {
  try {
    addon.openPageTracker().close();
    return undefined;
  } catch (error) {
    return `this kernel has no write tracking: ${(error as Error).message}`;
  }
}

const test = suiteUnless(unsupported(), 'native page tracker');

/** 20 tracked pages. */
function tracked() {
  const { buffer, hostAddr } = addon.mapMemory({ size: 20 * PAGE, kind: 'anonymous' });
  const tracker = addon.openPageTracker();
  tracker.register(hostAddr, buffer.byteLength);
  return { tracker, buffer, hostAddr, size: buffer.byteLength, bytes: new Uint8Array(buffer) };
}

test('raw stores are reported once, with the writer', () => {
  const { tracker, bytes, hostAddr, size } = tracked();
  const bits = new Uint8Array(3);
  const writers = new Uint16Array(20);

  assert.is(tracker.scan(hostAddr, size, bits, writers, 3), 0);
  bytes[2 * PAGE] = 1;
  bytes[20 * PAGE - 1] = 1;

  assert.is(tracker.scan(hostAddr, size, bits, writers, 3), 2);
  assert.equal([...bits], [4, 0, 8]);
  assert.equal([writers[2], writers[3], writers[19]], [3, 0, 3]);
  assert.is(tracker.scan(hostAddr, size, bits, null, 0), 0);
  tracker.close();
});

test('arguments are checked before anything is scanned', async () => {
  const { tracker, bytes, hostAddr, size } = tracked();
  bytes[0] = 1;
  const bits = new Uint8Array(3);
  const scan = (at: bigint, length: number, into: Uint8Array, writers: Uint16Array | null = null) =>
    codeOf(() => tracker.scan(at, length, into, writers, 0));

  assert.is(await scan(hostAddr, size, new Uint8Array(2)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await scan(hostAddr, size, bits, new Uint16Array(19)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await scan(hostAddr + 1n, size, bits), 'ERR_OUT_OF_RANGE');
  assert.is(await scan(hostAddr, size - 1, bits), 'ERR_OUT_OF_RANGE');
  assert.is(await scan(hostAddr, 0, bits), 'ERR_OUT_OF_RANGE');
  assert.is(await scan(2n ** 64n - BigInt(PAGE), size, bits), 'ERR_OUT_OF_RANGE');
  const other = addon.mapMemory({ size, kind: 'anonymous' });
  assert.is(await scan(other.hostAddr, size, bits), 'ERR_SYSCALL');
  assert.is(await codeOf(() => tracker.register(hostAddr, 1)), 'ERR_OUT_OF_RANGE');
  assert.is(tracker.scan(hostAddr, size, bits, null, 0), 1);
  tracker.close();
});

test('memory that another tracker has is refused, until that one lets go', async () => {
  const { tracker, hostAddr, size } = tracked();
  const other = addon.openPageTracker();

  try {
    other.register(hostAddr, size);
    assert.unreachable();
  } catch (error) {
    assert.equal((error as { syscall?: string; errno?: number }).errno, 16);
  }
  tracker.unregister(hostAddr, size);
  other.register(hostAddr, size);

  tracker.close();
  tracker.close();
  assert.is(await codeOf(() => tracker.register(hostAddr, size)), 'ERR_DISPOSED');
  other.close();
});

test.run();

// Guests that want more than their share: of the host's memory, of its descriptors, or of the thread that all devices are on. Without KVM.

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtioBalloon } from '../../shared/virtio/balloon.ts';
import { type Disk, SECTOR } from '../../shared/virtio/blk.ts';
import { VirtioConsole } from '../../shared/virtio/console.ts';
import { CONNECTIONS_MAX, VirtioVsock } from '../../shared/virtio/vsock.ts';
import type { VsockConnection, VsockPeer } from '../../shared/virtio/vsock-connection.ts';
import { HEADER, OP } from '../../shared/virtio/vsock-packet.ts';
import { FileDisk } from '../../src/devices/file-disk.ts';
import { OverlayDisk } from '../../src/devices/overlay-disk.ts';
import { codeOf } from '../errors.ts';
import { fdCount } from '../process-state.ts';
import { QueuesDriver } from '../virtio-queues.ts';
import { CID, encode, GuestVsock } from '../vsock-guest.ts';

const test = suite('virtio, greedy guests');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-test-'));
test.after(() => rmSync(folder, { recursive: true }));

/** A host's end that is done with a connection as soon as it hears of its end. */
function impatient(connection: VsockConnection, sent: () => void = () => {}): VsockPeer {
  return { connected() {}, data() {}, sent, ended() {}, stopped() {}, closed: () => connection.release() };
}

test('vsock: connections whose guest takes no packets count until it does, however fast the host is done with them', () => {
  using memory = new KvmMemory(0x10_0000);
  const device = new VirtioVsock(CID);
  const guest = new GuestVsock(device, memory);
  let accepted = 0;
  device.listen(5000, connection => {
    accepted += 1;
    return impatient(connection);
  });
  guest.receives = false;
  guest.driver.onInterrupt = undefined;
  for (let sourcePort = 1; sourcePort <= 2000; sourcePort++) {
    // The second one breaks the rules: the host hears of a failure at once, and the guest is owed a RST.
    guest.send({ op: OP.REQUEST, sourcePort });
    guest.send({ op: OP.REQUEST, sourcePort });
  }
  // Some have got their RST: the buffers of the beginning.
  assert.ok(accepted >= CONNECTIONS_MAX && accepted <= CONNECTIONS_MAX + 16, `${accepted} connections`);
  // The guest's side of all is over with a reset.
  guest.setUp();
  const before = accepted;
  guest.send({ op: OP.REQUEST });
  assert.ok(accepted > before);
});

test('vsock: a guest that gives buffers of one byte back as they are filled does not keep the thread', async () => {
  using memory = new KvmMemory(0x10_0000);
  const device = new VirtioVsock(CID);
  const driver = new QueuesDriver(device, memory).setUp(1n, [16, 16, 8]);
  const rx = driver.queue(0);
  const give = () => {
    rx.collect();
    while (rx.room > 0) rx.add([], [{ at: rx.buffer(rx.nextId, 64).at, length: HEADER + 1 }]);
  };
  give();
  let packets = 0;
  let connection: VsockConnection | undefined;
  device.listen(5000, made => {
    connection = made;
    return impatient(made, () => {
      packets += 1;
      // As another vCPU of the guest's would, meanwhile.
      give();
    });
  });
  const tx = driver.queue(1);
  const request = encode({ op: OP.REQUEST });
  memory.write(tx.buffer(0, 64).at, request);
  tx.add([{ at: tx.buffer(0, 64).at, length: request.length }], []);
  tx.kick();
  give();
  connection?.send(new Uint8Array(1000));
  assert.ok(packets <= 16, `${packets} in one turn`);
  for (let i = 0; i < 200; i++) await turn();
  assert.is(packets, 1000, 'all of it arrives');
});

test('console: a buffer for input that is not to be written needs a reset, rather than one turn after the other', () => {
  using memory = new KvmMemory(0x10_0000);
  const device = new VirtioConsole({ columns: 1, rows: 1 }, { output() {}, inputTaken() {} });
  const driver = new QueuesDriver(device, memory).setUp(0n, [4, 4]);
  device.write(Uint8Array.of(1, 2, 3));
  const rx = driver.queue(0);
  rx.add([rx.buffer(0, 16)], []);
  rx.kick();
  assert.ok(driver.needsReset);
  driver.setUp(0n, [4, 4]);
  const again = driver.queue(0);
  again.add([], [again.buffer(0, 16)]);
  again.kick();
  assert.equal(
    again.collect().map(({ length }) => length),
    [3],
    'the input is still there',
  );
});

test('balloon: pages are given back by inflating alone where reporting was not negotiated', () => {
  using memory = new KvmMemory(0x80_0000);
  let ranges = 0;
  const device = new VirtioBalloon({ discard: all => (ranges += all.length), actual() {}, stats() {} });
  const driver = new QueuesDriver(device, memory).setUp(0n, [4, 4, 4, 4, 4]);
  for (const index of [2, 3, 4]) {
    driver.queue(index).add([], [{ at: 0x40_0000, length: 0x1000 }]);
    driver.queue(index).kick();
  }
  assert.is(ranges, 0);
});

test('an overlay reads one part after the other, whatever the guest has made of its sectors', async () => {
  const sectors = 64;
  let running = 0;
  let most = 0;
  const base: Disk & AsyncDisposable = {
    capacity: sectors * SECTOR,
    readOnly: true,
    id: 'base',
    read: async views => {
      most = Math.max(most, ++running);
      await turn();
      for (const view of views) view.fill(1);
      running -= 1;
    },
    write: async () => {},
    flush: async () => {},
    async [Symbol.asyncDispose]() {},
  };
  await using disk = await OverlayDisk.over(base);
  for (let sector = 0; sector < sectors; sector += 2)
    await disk.write([new Uint8Array(SECTOR).fill(2)], sector * SECTOR);
  const into = new Uint8Array(sectors * SECTOR);
  await disk.read([into.subarray(0, 1000), into.subarray(1000)], 0);
  assert.is(most, 1);
  assert.ok(into.every((byte, i) => byte === (Math.floor(i / SECTOR) % 2 === 0 ? 2 : 1)));
});

test('an overlay that cannot be made leaves no file open', async () => {
  const base = { capacity: 2 ** 60, readOnly: true, id: 'huge' } as Disk & AsyncDisposable;
  await codeOf(OverlayDisk.over(base));
  const before = fdCount();
  assert.is(await codeOf(OverlayDisk.over(base)), 'ERR_IMAGE_READ');
  assert.is(fdCount(), before);
});

test('a transfer that is longer than one of the system’s arrives whole, in views of any size', async () => {
  const path = join(folder, 'large');
  writeFileSync(path, '');
  truncateSync(path, 24 << 20);
  await using disk = await FileDisk.open(path);
  const content = new Uint8Array(19 << 20);
  for (let i = 0; i < content.length; i += 512) content.fill((i * 31) >> 9, i, i + 512);
  const cut = (bytes: Uint8Array) =>
    [0, 512, 3 << 20, (3 << 20) + 100, 16 << 20, bytes.length].flatMap((end, i, ends) =>
      i === 0 ? [] : [bytes.subarray(ends[i - 1], end)],
    );
  await disk.write(cut(content), 1 << 20);
  const back = new Uint8Array(content.length);
  await disk.read(cut(back), 1 << 20);
  assert.is(Buffer.compare(back, content), 0);
});

test.run();

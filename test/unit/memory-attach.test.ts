// A memory on other threads: the same bytes, a table that follows the owner's, the end when the owner disposes of it.

import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: attach');

const PAGE = 4096;
const HERE = 0x1000_0000;

/** Attaches, then does what it is told, blocking between two orders: its event loop never runs. */
const program = `
  const { workerData } = require('node:worker_threads');
  import('node-kvm').then(({ KvmMemory, u32le }) => {
    const { handle, words, port } = workerData;
    const orders = new Int32Array(words);
    let memory;
    for (let turn = 1; ; turn++) {
      Atomics.wait(orders, 0, turn - 1);
      const addr = Atomics.load(orders, 1);
      if (addr === -1) break;
      let answer;
      try {
        memory ??= KvmMemory.attach(handle);
        memory.writeObj(addr, u32le, turn);
        answer = [memory.regions().length, memory.size(), memory.addressLimit()];
      } catch (error) { answer = error.code; }
      port.postMessage(answer);
      Atomics.store(orders, 2, turn);
      Atomics.notify(orders, 2);
    }
    port.close();
  });`;

/** A worker that stores the number of the order at the address that it is told, and answers with what it sees. */
class Peer {
  readonly #orders = new Int32Array(new SharedArrayBuffer(12));
  readonly #channel = new MessageChannel();
  readonly #worker: Worker;

  constructor(handle: KvmMemory['handle']) {
    const workerData = { handle, words: this.#orders.buffer, port: this.#channel.port2 };
    this.#worker = new Worker(program, { eval: true, workerData, transferList: [this.#channel.port2] });
  }

  async write(addr: number): Promise<unknown> {
    Atomics.store(this.#orders, 1, addr);
    const turn = Atomics.add(this.#orders, 0, 1) + 1;
    Atomics.notify(this.#orders, 0);
    while (Atomics.load(this.#orders, 2) < turn) await new Promise(resolve => setTimeout(resolve, 2));
    return receiveMessageOnPort(this.#channel.port1)?.message;
  }

  async end(): Promise<void> {
    const ended = new Promise(resolve => this.#worker.once('exit', resolve));
    Atomics.store(this.#orders, 1, -1);
    Atomics.add(this.#orders, 0, 1);
    Atomics.notify(this.#orders, 0);
    this.#channel.port1.close();
    await ended;
  }
}

test('regions come and go under a thread that never returns to its event loop', async () => {
  using memory = new KvmMemory(PAGE);
  memory.enableDirtyTracking();
  const peer = new Peer(memory.handle);
  assert.equal(await peer.write(0), [1, PAGE, PAGE]);
  assert.is(memory.readObj(0, u32le), 1);

  memory.addRegion(HERE, 2 * PAGE);
  assert.equal(await peer.write(HERE + PAGE), [2, 3 * PAGE, HERE + 2 * PAGE]);
  assert.is(memory.readObj(HERE + PAGE, u32le), 2);
  assert.equal(memory.getDirtyPages(), [
    { guestAddr: 0, size: PAGE },
    { guestAddr: HERE + PAGE, size: PAGE },
  ]);

  memory.setReadOnly(HERE + PAGE, PAGE, true);
  assert.is(await peer.write(HERE + PAGE), 'ERR_MEMORY_READ_ONLY');
  memory.removeRegion(HERE);
  assert.is(await peer.write(HERE), 'ERR_MEMORY_UNMAPPED');
  memory[Symbol.dispose]();
  assert.is(await peer.write(0), 'ERR_DISPOSED');
  await peer.end();
});

test('an old handle is brought up to date by the owner', async () => {
  using memory = new KvmMemory(PAGE);
  const { handle } = memory;
  memory.addRegion(HERE, PAGE);
  const peer = new Peer(handle);
  assert.equal(await peer.write(HERE), [2, 2 * PAGE, HERE + PAGE]);
  await peer.end();
});

test("an old handle, on the owner's own thread", () => {
  using memory = new KvmMemory(PAGE);
  const { handle } = memory;
  memory.addRegion(HERE, PAGE);
  using same = KvmMemory.attach(handle);
  same.writeObj(HERE, u32le, 7);
  assert.is(memory.readObj(HERE, u32le), 7);
  memory.removeRegion(HERE);
  assert.is(same.regions().length, 1);
});

test("changes are the owner's alone", async () => {
  using memory = new KvmMemory(PAGE);
  using attached = KvmMemory.attach(memory.handle);
  for (const change of [
    () => attached.addRegion(HERE, PAGE),
    () => attached.removeRegion(0),
    () => attached.setReadOnly(0, PAGE, true),
    () => attached.enableDirtyTracking(),
    () => attached.getDirtyPages(),
    () => attached.attachVmFd(0),
    () => attached.hostAddress(),
    () => attached.handle,
  ]) {
    assert.is(await codeOf(change), 'ERR_STATE');
  }
});

test('disposing of an attachment ends that one only; a disposed memory cannot be attached', async () => {
  const memory = new KvmMemory(PAGE);
  const { handle } = memory;
  const attached = KvmMemory.attach(handle);
  attached[Symbol.dispose]();
  assert.is(await codeOf(() => attached.size()), 'ERR_DISPOSED');
  assert.is(memory.size(), PAGE);
  memory[Symbol.dispose]();
  assert.is(await codeOf(() => KvmMemory.attach(handle)), 'ERR_DISPOSED');
});

test.run();

// The virtio console between a model driver and the application's stream: output and input, also while nobody reads, the
// terminal's size, and chains that no driver sends. Without KVM.

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import fc from 'fast-check';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtioConsole } from '../../shared/virtio/console.ts';
import { type ConsoleCommand, ConsoleLink } from '../../shared/virtio/console-link.ts';
import { VirtioConsoleStream } from '../../src/main/devices/virtio-console-stream.ts';
import { codeOf } from '../errors.ts';
import { QueuesDriver } from '../virtio-queues.ts';

const test = suite('virtio console');
// The application's ports do not keep the process alive: here nothing else would.
const alive = setInterval(() => {}, 60_000);
test.after(() => clearInterval(alive));
const BUFFER = 512;

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 20_000; i++) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}

class World implements Disposable {
  readonly memory = new KvmMemory(0x10_0000);
  readonly stream: VirtioConsoleStream;
  readonly driver: QueuesDriver;
  readonly #port: MessagePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const link = new ConsoleLink({ columns: 80, rows: 25 }, (event, transfer) => port1.postMessage(event, transfer));
    port1.on('message', (command: ConsoleCommand) => link.receive(command));
    this.stream = new VirtioConsoleStream(port2);
    this.driver = new QueuesDriver(link.device, this.memory);
    this.setUp();
  }

  setUp(): void {
    this.driver.setUp(1n, [16, 16]);
  }

  print(bytes: Uint8Array): void {
    const tx = this.driver.queue(1);
    for (let at = 0; at < bytes.length; at += BUFFER) {
      const piece = bytes.subarray(at, at + BUFFER);
      const place = tx.buffer(tx.nextId, BUFFER);
      this.memory.write(place.at, piece);
      tx.add([{ at: place.at, length: piece.length }], []);
      tx.kick();
      assert.is(tx.collect().length, 1, 'the guest never waits');
    }
  }

  give(length: number): void {
    const rx = this.driver.queue(0);
    rx.add([], [{ at: rx.buffer(rx.nextId, BUFFER).at, length }]);
    rx.kick();
  }

  take(): string {
    const rx = this.driver.queue(0);
    return rx
      .collect()
      .map(({ id, length }) => {
        const bytes = new Uint8Array(length);
        this.memory.read(rx.buffer(id, BUFFER).at, bytes);
        return String.fromCharCode(...bytes);
      })
      .join('');
  }

  end(): void {
    this.#port.close();
  }

  [Symbol.dispose](): void {
    this.end();
    this.memory[Symbol.dispose]();
  }
}

test('what the guest writes is read, and the other way round, in pieces of the guest’s buffers', async () => {
  using world = new World();
  world.print(Buffer.from('hello'));
  const [chunk] = await once(world.stream, 'data');
  assert.is(String(chunk), 'hello');
  let written = false;
  world.stream.write('good morning', () => {
    written = true;
  });
  world.give(5);
  let taken = '';
  await until(() => {
    taken += world.take();
    return taken !== '';
  }, 'input');
  assert.is(taken, 'good ');
  assert.not(written, 'the rest waits');
  world.give(100);
  await until(() => written, 'all of it');
  assert.is(world.take(), 'morning');
});

test('input that came before the driver waits for it, and goes on after a reset', async () => {
  using world = new World();
  world.driver.set(0x70, 0);
  world.stream.write('early');
  for (let i = 0; i < 20; i++) await turn();
  world.setUp();
  world.give(3);
  assert.is(world.take(), 'ear');
  world.setUp();
  world.give(100);
  assert.is(world.take(), 'ly');
});

test('output that nobody reads: the last of it is kept, what went is counted, and the guest does not wait', async () => {
  using world = new World();
  const text = Buffer.alloc(1_000_000);
  for (let i = 0; i < text.length; i++) text[i] = (i * 7 + (i >> 8)) & 0xff;
  for (let at = 0; at < text.length; at += 10_000) {
    world.print(text.subarray(at, at + 10_000));
    await turn();
  }
  const chunks: Buffer[] = [];
  world.stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const length = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  await until(() => length() + world.stream.dropped === text.length, 'all is read or counted');
  assert.ok(world.stream.dropped > 500_000);
  const read = Buffer.concat(chunks);
  assert.ok(read.subarray(-60_000).equals(text.subarray(-60_000)), 'the newest is there');
});

test('bytes one by one reach the reader, whole and in order', async () => {
  using world = new World();
  const chunks: Buffer[] = [];
  world.stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  for (let i = 0; i < 3000; i++) {
    world.print(Uint8Array.of(i & 0xff));
    if (i % 50 === 0) await turn();
  }
  await until(() => chunks.reduce((sum, { length }) => sum + length, 0) === 3000, 'all');
  assert.ok(Buffer.concat(chunks).every((byte, i) => byte === (i & 0xff)));
  assert.ok(chunks.length < 2000, `${chunks.length} chunks`);
});

test('another size is told by a configuration interrupt; a size that is none is refused', async () => {
  using world = new World();
  const size = () => [world.driver.mmio.read(0x100, 2), world.driver.mmio.read(0x102, 2)];
  assert.equal(size(), [80, 25]);
  const generation = world.driver.get(0xfc);
  world.stream.resize({ columns: 132, rows: 43 });
  await until(() => world.driver.interrupts > 0, 'an interrupt');
  assert.is(world.driver.get(0x60), 2);
  assert.equal(size(), [132, 43]);
  assert.is.not(world.driver.get(0xfc), generation);
  assert.is(await codeOf(() => world.stream.resize({ columns: 65_536, rows: 1 })), 'ERR_OUT_OF_RANGE');
});

test('the stream ends with the machine, and with it writes that wait', async () => {
  const world = new World();
  world.stream.write('never read');
  world.print(Buffer.from('last words'));
  for (let i = 0; i < 20; i++) await turn();
  world.end();
  const chunks: Buffer[] = [];
  for await (const chunk of world.stream) chunks.push(chunk as Buffer);
  assert.is(Buffer.concat(chunks).toString(), 'last words');
  world[Symbol.dispose]();
});

test('a stream that was destroyed takes output no more, and the guest does not notice', async () => {
  using world = new World();
  world.stream.destroy();
  for (let i = 0; i < 100; i++) {
    world.print(new Uint8Array(5000));
    await turn();
  }
  assert.not(world.driver.needsReset);
});

test('any chains: nothing throws, nothing spins; more than a mebibyte at once needs a reset', () => {
  const part = fc.record({ write: fc.boolean(), length: fc.integer({ min: 1, max: 4000 }) });
  const property = fc.property(
    fc.array(
      fc.record({ queue: fc.nat(1), parts: fc.array(part, { minLength: 1, maxLength: 3 }), input: fc.boolean() }),
    ),
    steps => {
      using memory = new KvmMemory(0x10_0000);
      let bytes = 0;
      let sent = 0;
      const device = new VirtioConsole(
        { columns: 1, rows: 1 },
        {
          output: ({ length }) => {
            bytes += length;
          },
          inputTaken() {},
        },
      );
      const driver = new QueuesDriver(device, memory).setUp(1n, [64, 64]);
      for (const { queue: index, parts, input } of steps) {
        // A buffer for input that is not to be written.
        if (driver.needsReset) driver.setUp(1n, [64, 64]);
        const queue = driver.queue(index);
        queue.collect();
        if (queue.room < 3) continue;
        const readable = parts.filter(({ write }) => !write);
        queue.add(
          readable.map(({ length }, i) => ({ at: queue.buffer(i, 4096).at, length })),
          parts.filter(({ write }) => write).map(({ length }, i) => ({ at: queue.buffer(8 + i, 4096).at, length })),
        );
        if (input) device.write(new Uint8Array(700));
        queue.kick();
        if (index === 1 && !driver.needsReset) sent += readable.reduce((sum, { length }) => sum + length, 0);
      }
      assert.is(bytes, sent);
    },
  );
  fc.assert(property, { numRuns: 200 });
  using memory = new KvmMemory(0x20_0000);
  const driver = new QueuesDriver(
    new VirtioConsole({ columns: 1, rows: 1 }, { output: () => assert.unreachable(), inputTaken() {} }),
    memory,
  ).setUp(1n, [4, 4]);
  driver.queue(1).add([{ at: 0, length: 0x10_0001 }], []);
  driver.queue(1).kick();
  assert.ok(driver.needsReset);
});

test.run();

// Tracing: each operation announces itself to whoever listens, its arguments and outcome in the context.

import { tracingChannel } from 'node:diagnostics_channel';
import { KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: tracing');

type Context = Record<string, unknown> & { error?: { code?: string }; result?: unknown };

/** Listens to one operation while `body` runs. */
async function listen(name: string, body: () => unknown): Promise<string[]> {
  const heard: string[] = [];
  const note = (event: string) => (context: unknown) => {
    const { addr, operation, error, result } = context as Context;
    heard.push(
      [event, operation, addr, error?.code, typeof result === 'number' ? result : undefined]
        .filter(each => each !== undefined)
        .join(' '),
    );
  };
  const handlers = {
    start: note('start'),
    end: note('end'),
    error: note('error'),
    asyncStart: note('?'),
    asyncEnd: note('?'),
  };
  const channel = tracingChannel(`node-kvm:${name}`);
  channel.subscribe(handlers);
  try {
    await body();
  } finally {
    channel.unsubscribe(handlers);
  }
  return heard;
}

test('start and end, with arguments and result', async () => {
  using memory = new KvmMemory(4096);
  memory.writeObj(8, u32le, 5);
  assert.equal(await listen('memory.readObj', () => memory.readObj(8, u32le)), ['start 8', 'end 8 5']);
  assert.equal(await listen('memory.atomics', () => memory.atomics.add(8, u32le, 1)), ['start add 8', 'end add 8 5']);
  assert.equal(await listen('memory.addRegion', () => memory.addRegion(0x10_0000, 4096)), ['start', 'end']);
});

test('an error is announced and still thrown', async () => {
  using memory = new KvmMemory(4096);
  const heard = await listen('memory.write', async () => {
    assert.is(await codeOf(() => memory.write(4096, new Uint8Array(1))), 'ERR_MEMORY_UNMAPPED');
  });
  assert.equal(heard, ['start 4096', 'error 4096 ERR_MEMORY_UNMAPPED', 'end 4096 ERR_MEMORY_UNMAPPED']);
});

test('every public method has a channel', async () => {
  using memory = new KvmMemory(4096);
  const calls: Record<string, () => unknown> = {
    create: () => new KvmMemory(4096),
    attach: () => KvmMemory.attach(memory.handle),
    addRegion: () => memory.addRegion(0x10_0000, 4096),
    addExternalRegion: () => memory.addExternalRegion(0x20_0000, memory.hostAddress(), 4096, false),
    setReadOnly: () => memory.setReadOnly(0x20_0000, 4096, true),
    removeRegion: () => memory.removeRegion(0x20_0000),
    enableDirtyTracking: () => memory.setDirtyTrackingEnabled(true),
    read: () => memory.read(0, new Uint8Array(1)),
    write: () => memory.write(0, new Uint8Array(1)),
    readObj: () => memory.readObj(0, u32le),
    writeObj: () => memory.writeObj(0, u32le, 1),
    memset: () => memory.memset(0, 1, 1),
    atomics: () => memory.atomics.load(0, u32le),
    view: () => memory.view(0, 1),
    dumpAll: () => memory.dumpAll(new Uint8Array(memory.addressLimit())),
    hostAddress: () => memory.hostAddress(),
    getHostAddress: () => memory.getHostAddress(0),
    regions: () => memory.regions(),
    size: () => memory.size(),
    addressLimit: () => memory.addressLimit(),
    getDirtyPages: () => memory.getDirtyPages(),
    harvest: () => memory.harvest().abort(),
    'harvest.commit': () => memory.harvest().commit(),
    'harvest.abort': () => memory.harvest().abort(),
    dirtyCursor: () => memory.dirtyCursor('traced'),
    'dirtyCursor.harvest': () => memory.dirtyCursor('harvested').harvest(),
    changes: () => memory.changes({ every: 0 }),
    disableDirtyTracking: () => memory.disableDirtyTracking(),
    attachVmFd: () => codeOf(() => memory.attachVmFd(0)),
    registerSlot: () => codeOf(() => memory.registerSlot(0, 0, 4096, memory.hostAddress(), 0)),
    unregisterSlot: () => codeOf(() => memory.unregisterSlot(0)),
    dispose: () => memory[Symbol.dispose](),
  };
  for (const [name, call] of Object.entries(calls)) {
    const heard = await listen(`memory.${name}`, call);
    assert.ok(heard.length >= 2, `${name}: ${heard.join(', ')}`);
  }
});

test.run();

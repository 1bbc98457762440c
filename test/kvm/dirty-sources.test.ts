// Each source of dirty pages with a guest: what the guest wrote is reported once, and so is what it writes again; who wrote is known where
// the source can know it; switching between sources loses nothing.

import { type DirtyTrackingOptions, KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { dirtyPages, PAGE, sourceSuite } from '../dirty-pages.ts';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { TinyGuest } from '../tiny-guest.ts';

/** Sixteen pages in two regions, 11 and 5, attached. */
function attached(): { memory: KvmMemory; guest: TinyGuest } & Disposable {
  const guest = new TinyGuest();
  const memory = new KvmMemory(11 * PAGE);
  memory.addRegion(11 * PAGE, 5 * PAGE);
  memory.attachVmFd(guest.vmFd);
  const end = () => {
    memory[Symbol.dispose]();
    guest.close();
  };
  return { memory, guest, [Symbol.dispose]: end };
}

const WAYS: [name: string, suite: 'pagemap' | 'bitmap', options: DirtyTrackingOptions][] = [
  ['pagemap', 'pagemap', { source: 'pagemap' }],
  ['bitmap, plain', 'bitmap', { source: 'bitmap', log: 'plain' }],
  ['bitmap, manual', 'bitmap', { source: 'bitmap', log: 'manual' }],
];

for (const [name, source, options] of WAYS) {
  const test = sourceSuite(source, `dirty source ${name}`);

  test('pages of the guest and of the API, each once, and again when they are written again', () => {
    using pair = attached();
    const { memory, guest } = pair;
    guest.write(2 * PAGE, 1);
    memory.enableDirtyTracking(options);
    assert.is(memory.dirtySource, source);
    assert.equal(dirtyPages(memory), []);
    for (let round = 0; round < 3; round++) {
      guest.write(2 * PAGE, 1);
      guest.write(10 * PAGE, 1);
      guest.write(15 * PAGE, 1);
      memory.memset(11 * PAGE, 1, 1);
      memory.memset(2 * PAGE, 1, 1);
      assert.equal(dirtyPages(memory), [2, 10, 11, 15]);
      assert.equal(dirtyPages(memory), []);
    }
  });

  test("initially 'dirty': every page first, then what is written", () => {
    using pair = attached();
    const { memory, guest } = pair;
    memory.enableDirtyTracking({ ...options, initially: 'dirty' });
    guest.write(3 * PAGE, 1);
    assert.equal(
      dirtyPages(memory),
      Array.from({ length: 16 }, (_, page) => page),
    );
    assert.equal(dirtyPages(memory), []);
    guest.write(3 * PAGE, 1);
    memory.setReadOnly(5 * PAGE, PAGE, true);
    guest.write(7 * PAGE, 1);
    assert.equal(dirtyPages(memory), [3, 7]);
  });

  test('off and on, regions split, removed and added: nothing is lost, nothing comes twice', () => {
    using pair = attached();
    const { memory, guest } = pair;
    memory.enableDirtyTracking(options);
    guest.write(4 * PAGE, 1);
    memory.disableDirtyTracking();
    guest.write(6 * PAGE, 1);
    memory.enableDirtyTracking(options);
    guest.write(8 * PAGE, 1);
    memory.setReadOnly(9 * PAGE, PAGE, true);
    guest.write(12 * PAGE, 1);
    memory.removeRegion(11 * PAGE);
    memory.addRegion(13 * PAGE, 2 * PAGE);
    guest.write(14 * PAGE, 1);
    assert.equal(dirtyPages(memory), [4, 8, 14]);
    assert.equal(dirtyPages(memory), []);
  });

  test('a VM that is attached while tracking is on is tracked', () => {
    const guest = new TinyGuest();
    const memory = new KvmMemory(16 * PAGE);
    memory.enableDirtyTracking(source === 'pagemap' ? options : { source: 'host' });
    memory.attachVmFd(guest.vmFd);
    assert.is(memory.dirtySource, source);
    guest.write(5 * PAGE, 1);
    memory.memset(7 * PAGE, 1, 1);
    assert.equal(dirtyPages(memory), [5, 7]);
    memory[Symbol.dispose]();
    guest.close();
  });

  test.run();
}

const both = sourceSuite('pagemap', 'dirty sources: switching with a guest');

both('bitmap, pagemap, bitmap: what was written under each, each page once', () => {
  using pair = attached();
  const { memory, guest } = pair;
  memory.enableDirtyTracking({ source: 'bitmap' });
  guest.write(1 * PAGE, 1);
  memory.enableDirtyTracking({ source: 'pagemap' });
  assert.is(memory.dirtySource, 'pagemap');
  guest.write(2 * PAGE, 1);
  memory.view(12 * PAGE, 1)[0] = 1;
  memory.enableDirtyTracking({ source: 'bitmap', log: 'manual' });
  assert.is(memory.dirtySource, 'bitmap');
  guest.write(3 * PAGE, 1);
  memory.view(13 * PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(memory), [1, 2, 3, 12]);
});

both('another log is refused while KVM logs, and had after tracking was off', async () => {
  using pair = attached();
  const { memory, guest } = pair;
  memory.enableDirtyTracking({ source: 'bitmap', log: 'plain' });
  guest.write(1 * PAGE, 1);
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'bitmap', log: 'manual' })), 'ERR_DIRTY_SOURCE');
  assert.is(await codeOf(() => memory.enableDirtyTracking({ log: 'manual' })), 'ERR_DIRTY_SOURCE');
  memory.disableDirtyTracking();
  memory.enableDirtyTracking({ source: 'bitmap', log: 'manual' });
  guest.write(3 * PAGE, 1);
  assert.equal(dirtyPages(memory), [1, 3]);
});

both("'auto' takes pagemap with a VM attached", () => {
  using pair = attached();
  pair.memory.enableDirtyTracking();
  assert.is(pair.memory.dirtySource, 'pagemap');
});

both.run();

const refused = kvmSuite('dirty sources: refused with a VM');

refused("'host', which would miss the guest, and 'ring', which the VM was not made with", async () => {
  using pair = attached();
  const { memory } = pair;
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'host' })), 'ERR_DIRTY_SOURCE');
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'ring' })), 'ERR_DIRTY_SOURCE');
  assert.is(memory.dirtySource, undefined);
});

refused.run();

// Drives every function of the addon, rightly and wrongly, on the main thread and in workers: what the sanitizer run of the addon
// executes. Usage: node addon-exercise.mjs <addon.node>. Exit status 0 when everything behaved; a sanitizer's report ends the process.

import { createRequire } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { existsSync } from 'node:fs';
import assert from 'node:assert/strict';

const path = isMainThread ? process.argv[2] : workerData.path;
const addon = createRequire(import.meta.url)(path);
const device = process.env.NODE_KVM_DEVICE ?? '/dev/kvm';
const STATS_BYTES = 896;

class HypervisorError extends Error {
  constructor(code, message, details) {
    super(message);
    Object.assign(this, { code, ...details });
  }
}
addon.setErrorClass(HypervisorError);

function throws(code, body) {
  assert.throws(body, error => error.code === code || assert.fail(`${body}: ${error.code} ${error.message}`));
}

function memory() {
  const { buffer, hostAddr } = addon.mapMemory({ size: 0x20_0000, kind: 'memfd', name: 'exercise' });
  assert.equal(addon.addressOf(buffer), hostAddr);
  const bytes = new Uint8Array(buffer);
  addon.prefault(buffer, 0, buffer.byteLength, 2);
  addon.fill(bytes, 0x1fffff, 1, 7);
  addon.fill(new DataView(buffer, 1), 0x1ffffe, 1, 8);
  assert.equal(bytes[0x1fffff], 8);
  addon.copy(bytes, 1, bytes, 0, 0x1fffff);
  addon.countGarbage(buffer);
  assert.equal(typeof addon.collectGarbage(), 'boolean');
  addon.copy(new Uint8Array(3), 0, bytes, 0x1ffffd, 3);
  const borrowed = new Uint8Array(addon.wrapExternal(hostAddr, 0x1000, true));
  borrowed[5] = 99;
  assert.equal(bytes[5], 99);
  const marks = new Uint8Array(new SharedArrayBuffer(203));
  marks.fill(1);
  const summary = new Uint8Array(new SharedArrayBuffer(1)).fill(1);
  const into = new Uint8Array(25);
  const writers = new Uint16Array(200);
  assert.equal(addon.takeMarks(marks, summary, 200, into, writers), 200);
  assert.equal(addon.takeMarks(marks, summary.fill(1), 203, new Uint8Array(26), null), 3);
  assert.ok(into.every(byte => byte === 0xff));

  for (const bad of [undefined, null, 5, 'x', {}, new ArrayBuffer(8), new Uint8Array(8), new Proxy(buffer, {})]) {
    throws('ERR_INVALID_ARG_TYPE', () => addon.addressOf(bad));
    throws('ERR_INVALID_ARG_TYPE', () => addon.countGarbage(bad));
    throws('ERR_INVALID_ARG_TYPE', () => addon.prefault(bad, 0, 0, 1));
  }
  for (const bad of [undefined, null, 5, new ArrayBuffer(8), new Uint16Array(8)]) {
    throws('ERR_INVALID_ARG_TYPE', () => addon.fill(bad, 0, 0, 0));
    throws('ERR_INVALID_ARG_TYPE', () => addon.copy(bytes, 0, bad, 0, 0));
    throws('ERR_INVALID_ARG_TYPE', () => addon.takeMarks(bad, summary, 0, into, null));
  }
  for (const bad of [-1, 0.5, Number.NaN, Infinity, 2 ** 53, 0x20_0001]) {
    throws('ERR_OUT_OF_RANGE', () => addon.fill(bytes, bad, 0, 0));
    throws('ERR_OUT_OF_RANGE', () => addon.fill(bytes, 0, bad, 0));
    throws('ERR_OUT_OF_RANGE', () => addon.copy(bytes, 0, bytes, bad, 0));
  }
  throws('ERR_BUFFER_TOO_SMALL', () => addon.takeMarks(marks, summary, 203, into, null));
  for (const bad of [-1, 0.5, Number.NaN, Infinity, 2 ** 53])
    throws('ERR_OUT_OF_RANGE', () => addon.takeMarks(marks, summary, bad, into, null));
  throws('ERR_OUT_OF_RANGE', () => addon.wrapExternal(0n, 0x1000, false));
  for (const size of [0, 1, -4096, 4097]) throws('ERR_OUT_OF_RANGE', () => addon.mapMemory({ size, kind: 'anonymous' }));
  throws('ERR_SYSCALL', () => addon.mapMemory({ size: 2 ** 52, kind: 'anonymous' }));
  throws('ERR_SYSCALL', () => addon.mapMemory({ size: 4096, kind: 'file', path: '/nonexistent' }));
  const detached = new Uint8Array(64);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  throws('ERR_OUT_OF_RANGE', () => addon.fill(detached, 0, 1, 0));
  addon.fill(detached, 0, 0, 0);
}

function bitmaps() {
  const bits = new Uint8Array(24);
  bits.set([0xff, 0x81], 3);
  assert.equal(addon.countBits(bits, 25, 100), 9);
  const ranges = new Float64Array(4);
  assert.equal(addon.bitRanges(bits, 25, 100, 0x1000, ranges, 0), 4);
  assert.deepEqual([...ranges], [0x1000, 0x8000, 0xf000, 0x1000]);
  assert.equal(addon.bitRanges(bits, 25, 100, 0x1000, ranges, 4), -8);
  const to = [new Uint8Array(24), new Uint8Array(24)];
  addon.distributeBits(bits, to);
  assert.deepEqual([to[0][3], to[1][4], bits[3]], [0xff, 0x81, 0]);
  throws('ERR_OUT_OF_RANGE', () => addon.distributeBits(bits, [new Uint8Array(16)]));
  throws('ERR_OUT_OF_RANGE', () => addon.distributeBits(new Uint8Array(9), []));
  throws('ERR_INVALID_ARG_TYPE', () => addon.distributeBits(bits, [new Uint16Array(12)]));
  throws('ERR_INVALID_ARG_TYPE', () => addon.distributeBits(bits, bits));
  throws('ERR_BUFFER_TOO_SMALL', () => addon.countBits(bits, 100, 93));
  throws('ERR_BUFFER_TOO_SMALL', () => addon.bitRanges(bits, 1, 192, 0, ranges, 0));
  throws('ERR_OUT_OF_RANGE', () => addon.bitRanges(bits, 0, 192, 0, ranges, 6));
  throws('ERR_OUT_OF_RANGE', () => addon.bitRanges(bits, 0, 192, 0, ranges, 1));
}

function pageTracker() {
  const { buffer, hostAddr } = addon.mapMemory({ size: 0x10_0000, kind: 'anonymous', name: 'tracked' });
  let tracker;
  try {
    tracker = addon.openPageTracker();
  } catch (error) {
    return assert.equal(error.code, 'ERR_SYSCALL');
  }
  tracker.register(hostAddr, buffer.byteLength);
  new Uint8Array(buffer)[0x5000] = 1;
  const into = new Uint8Array(32);
  const writers = new Uint16Array(256);
  assert.equal(tracker.scan(hostAddr, buffer.byteLength, into, writers, 9), 1);
  assert.deepEqual([into[0], writers[5]], [0x20, 9]);
  throws('ERR_BUFFER_TOO_SMALL', () => tracker.scan(hostAddr, buffer.byteLength, new Uint8Array(31), null, 0));
  throws('ERR_SYSCALL', () => tracker.register(0n, 0x1000));
  tracker.unregister(hostAddr, buffer.byteLength);
  tracker.close();
  throws('ERR_DISPOSED', () => tracker.unregister(hostAddr, buffer.byteLength));
  addon.openPageTracker(); // not closed
}

function events() {
  const [event, other] = [addon.createEventFd(), addon.createEventFd()];
  const attached = addon.attachEventFd(event.id);
  event.signal();
  attached.signal();
  const waiter = addon.createEventWaiter([other, event]);
  const ready = new Uint32Array(2);
  assert.deepEqual([waiter.wait(1000, ready), ready[0], waiter.wait(1, ready), event.take(), event.take()], [1, 1, 0, 2, 0]);
  event.close();
  attached.signal();
  assert.deepEqual([waiter.wait(0, ready), ready[0]], [1, 1]);
  throws('ERR_DISPOSED', () => event.signal());
  throws('ERR_DISPOSED', () => addon.createEventWaiter([attached, event]));
  throws('ERR_SYSCALL', () => addon.createEventWaiter([attached, attached]));
  throws('ERR_INVALID_ARG_TYPE', () => addon.createEventWaiter([other, {}]));
  throws('ERR_INVALID_ARG_TYPE', () => addon.createEventWaiter({}));
  throws('ERR_INVALID_ARG_TYPE', () => waiter.wait.call(event, 0, ready));
  throws('ERR_INVALID_ARG_TYPE', () => waiter.wait(0, [0]));
  throws('ERR_OUT_OF_RANGE', () => waiter.wait(1001, ready));
  throws('ERR_BUFFER_TOO_SMALL', () => waiter.wait(0, new Uint32Array(0)));
  throws('ERR_DISPOSED', () => addon.attachEventFd(0));

  const [asked, answered, count] = [0, 4, 8].map(at => new Uint8Array(new SharedArrayBuffer(12), at, 4));
  const bell = addon.createEventWaiter([attached, other]);
  attached.signal();
  asked[0] = 7;
  assert.equal(addon.wakeAnswerEvent(bell, asked, answered, count), true);
  assert.deepEqual([answered[0], count[0]], [7, 1]);
  other.signal();
  other.signal();
  // Event 0 was reported; the other one ends it.
  assert.equal(addon.wakeAnswerEvent(bell, asked, answered, count), false);
  throws('ERR_INVALID_ARG_TYPE', () => addon.wakeAnswerEvent({}, asked, answered, count));
  throws('ERR_OUT_OF_RANGE', () => addon.wakeAnswerEvent(bell, asked, answered, new Uint8Array(count.buffer, 1, 4)));
  bell.close();
  bell.close();
  throws('ERR_DISPOSED', () => addon.wakeAnswerEvent(bell, asked, answered, count));
  throws('ERR_DISPOSED', () => bell.wait(0, ready));
  addon.createEventWaiter([other]); // not closed
}

function thread() {
  assert.equal(addon.kick(addon.threadId()), true);
  const cpus = addon.getAffinity();
  addon.setAffinity(cpus);
  throws('ERR_SYSCALL', () => addon.setAffinity([]));
  throws('ERR_OUT_OF_RANGE', () => addon.setAffinity([8192]));
  throws('ERR_INVALID_ARG_TYPE', () => addon.setAffinity([undefined]));
  addon.heartbeat(5);
  addon.heartbeat(7);
  assert.ok(addon.monotonicNs() > 0);
  addon.heartbeat(0);
  if (isMainThread) addon.injectFault('', 0, 0);
}

/** One repetition of a lone C actor of the lab: the words are those of shared/lab/control.ts. */
function lab() {
  const [CONTROL, BLOCK, DATA] = [0x40_0000, 0x40_0400, 0x80_0000];
  const { buffer } = addon.mapMemory({ size: DATA + 0x1_0000, kind: 'anonymous', name: 'lab' });
  const control = new Int32Array(buffer, CONTROL, 128);
  const block = new Uint32Array(buffer, BLOCK, 256);
  const run = (kernel, ...params) => {
    control.set([0], 32);
    control.set([1], 64);
    block.set(params, 16);
    block[0] = kernel;
    addon.labRun(buffer, 0);
    return block[2 * 36];
  };
  for (const [kernel, ...params] of [[1, 4096, 1], [2, 4096, 1, 5], [3, 4096, 1, DATA], [4, 4096, 1, DATA, DATA], [5, 4096, 1, 64]])
    assert.ok(run(kernel, DATA + 0xf000, ...params) > 0);
  for (const kernel of [8, 9, 10, 11, 13]) assert.equal(run(kernel, DATA + 256 * kernel, 10), 10);
  throws('ERR_OUT_OF_RANGE', () => run(1, DATA + 0xf008, 4096, 1));
  throws('ERR_OUT_OF_RANGE', () => run(0));
  throws('ERR_OUT_OF_RANGE', () => addon.labRun(buffer, 32));
  throws('ERR_INVALID_ARG_TYPE', () => addon.labRun(new ArrayBuffer(8), 0));
  throws('ERR_BUFFER_TOO_SMALL', () => addon.labRun(new SharedArrayBuffer(8), 0));
}

/** A VM whose guest writes to port 0x10 and then halts; the vCPU is the calling thread's. */
function machine(run) {
  const system = addon.openSystem(device);
  const vm = system.createVm();
  const { buffer, hostAddr } = addon.mapMemory({ size: 0x10_0000, kind: 'anonymous', name: 'guest' });
  new Uint8Array(buffer).set([0xe6, 0x10, 0xa2, 0x00, 0x20, 0xf4, 0xeb, 0xfe], 0x1000);
  vm.setMemoryRegion(0, 1, 0, buffer.byteLength, hostAddr, buffer);
  vm.setMemoryRegion(1, 0, 0x20_0000, 0x1000, hostAddr, null);
  vm.setMemoryRegion(1, 0, 0, 0, 0n, null);
  throws('ERR_OUT_OF_RANGE', () => vm.setMemoryRegion(2, 0, 0x40_0000, 0x10_1000, hostAddr, buffer));
  throws('ERR_SYSCALL', () => vm.setMemoryRegion(2, 0, 0x1000, 0x1000, hostAddr, buffer));
  run(system, vm, buffer);
  vm.close();
  vm.close();
  system.close();
  throws('ERR_DISPOSED', () => vm.fd);
  throws('ERR_DISPOSED', () => system.apiVersion());
  throws('ERR_DISPOSED', () => vm.setMemoryRegion(0, 0, 0, 0, 0n, null));
}

/** Ports and interrupts by eventfds: the guest's write is no exit, and what cannot be assigned is refused. */
function notifications() {
  machine((system, vm) => {
    const event = addon.createEventFd();
    vm.assignIoEventFd('pio', 0x10, 1, null, event);
    vm.assignIoEventFd('mmio', 0x80_0000, 4, 5n, event);
    throws('ERR_SYSCALL', () => vm.assignIoEventFd('pio', 0x10, 1, 7n, event));
    throws('ERR_SYSCALL', () => vm.deassignIoEventFd('mmio', 0x80_0000, 4, 6n, event));
    throws('ERR_OUT_OF_RANGE', () => vm.assignIoEventFd('pio', 0x10, 3, null, event));
    throws('ERR_OUT_OF_RANGE', () => vm.assignIoEventFd('x', 0x10, 1, null, event));
    throws('ERR_OUT_OF_RANGE', () => vm.assignIoEventFd('mmio', 0x10, 1, 256n, event));
    throws('ERR_INVALID_ARG_TYPE', () => vm.assignIoEventFd('pio', 0x10, 1, null, {}));
    throws('ERR_SYSCALL', () => vm.assignIrqFd(5, event, null));
    const vcpu = addon.createVcpu(vm.fd, 0, new Uint8Array(new SharedArrayBuffer(STATS_BYTES)));
    startInRealMode(vcpu);
    assert.equal(vcpu.run(), 0);
    assert.deepEqual([new DataView(vcpu.runBuffer).getUint32(8, true), event.take()], [5, 1]);
    vm.deassignIoEventFd('pio', 0x10, 1, null, event);
    event.close();
    throws('ERR_DISPOSED', () => vm.deassignIoEventFd('mmio', 0x80_0000, 4, 5n, event));
    vcpu.close();
  });
  machine((system, vm) => {
    vm.createIrqchip();
    const [event, resample] = [addon.createEventFd(), addon.createEventFd()];
    vm.assignIrqFd(5, event, null);
    event.signal();
    throws('ERR_SYSCALL', () => vm.assignIrqFd(5, event, null));
    vm.deassignIrqFd(5, event);
    vm.assignIrqFd(5, event, resample);
    throws('ERR_INVALID_ARG_TYPE', () => vm.deassignIrqFd(5, undefined));
    event.close(); // and with it the assignment
  });
  machine((system, vm) => {
    vm.splitIrqchip(24);
    vm.setMsiRoutes(Uint32Array.of(5, 0xfee0_0000, 0x4025, 9, 0xfee0_0000, 0xc026));
    vm.setMsiRoutes(new Uint32Array(0));
    throws('ERR_OUT_OF_RANGE', () => vm.setMsiRoutes(new Uint32Array(2)));
    assert.equal(vm.signalMsi(0xfee0_0000, 0x4025), false); // there is no vCPU
  });
}

function startInRealMode(vcpu) {
  const sregs = new Uint8Array(312);
  vcpu.getState('sregs', sregs);
  new DataView(sregs.buffer).setBigUint64(0, 0n, true);
  new DataView(sregs.buffer).setUint16(12, 0, true);
  vcpu.setState('sregs', sregs);
  const regs = new DataView(new ArrayBuffer(144));
  regs.setBigUint64(16 * 8, 0x1000n, true);
  regs.setBigUint64(17 * 8, 2n, true);
  vcpu.setState('regs', new Uint8Array(regs.buffer));
}

function rings() {
  const system = addon.openSystem(device);
  const vm = system.createVm();
  if (vm.checkExtension(192) === 0) return;
  vm.enableDirtyRing(1024);
  const { buffer, hostAddr } = addon.mapMemory({ size: 0x10_0000, kind: 'anonymous', name: 'ring guest' });
  new Uint8Array(buffer).set([0xa2, 0x00, 0x20, 0xf4], 0x1000);
  vm.setMemoryRegion(0, 1, 0, buffer.byteLength, hostAddr, buffer);
  const vcpu = addon.createVcpu(vm.fd, 0, new Uint8Array(new SharedArrayBuffer(STATS_BYTES)));
  startInRealMode(vcpu);
  assert.equal(vcpu.run(), 0);
  assert.ok(vm.collectRings() >= 1);
  const into = new Uint8Array(32);
  const writers = new Uint16Array(256);
  assert.ok(vm.orDirtyLog(0, into, 0, writers, 0x4000) >= 1);
  assert.deepEqual([into[0] & 4, writers[2]], [4, 0x8000]);
  assert.deepEqual({ ...vm.ringCounters(0), entries: 0 }, { entries: 0, fullExits: 0, overflows: 0 });
  vm.close();
  vcpu.close();
}

function vcpus() {
  machine((system, vm) => {
    const stats = new Uint8Array(new SharedArrayBuffer(STATS_BYTES));
    throws('ERR_INVALID_ARG_TYPE', () => addon.createVcpu(vm.fd, 0, new Uint8Array(STATS_BYTES)));
    throws('ERR_OUT_OF_RANGE', () => addon.createVcpu(vm.fd, 0, stats.subarray(8)));
    throws('ERR_OUT_OF_RANGE', () => addon.createVcpu(vm.fd, 0, new Uint8Array(new SharedArrayBuffer(STATS_BYTES + 8), 1)));
    throws('ERR_NOT_A_VM', () => addon.createVcpu(0, 0, stats));
    throws('ERR_NOT_A_VM', () => addon.attachVm(0));
    const vcpu = addon.createVcpu(vm.fd, 0, stats);
    throws('ERR_SYSCALL', () => addon.createVcpu(vm.fd, 0, stats));
    vcpu.setCpuid(system.supportedCpuid());
    throws('ERR_OUT_OF_RANGE', () => vcpu.setCpuid(new Uint8Array(39)));
    startInRealMode(vcpu);
    const run = vcpu.run;
    const page = new DataView(vcpu.runBuffer);
    assert.equal(run(), 0);
    assert.equal(page.getUint32(8, true), 2);
    assert.equal(run(), 0);
    assert.equal(page.getUint32(8, true), 5);
    page.setUint8(1, 1);
    assert.equal(run(), -4);
    for (const [name, size] of [['regs', 144], ['sregs', 312], ['fpu', 416], ['xsave', 4096], ['xcrs', 392], ['debugregs', 128], ['events', 64], ['mpState', 4]]) {
      const bytes = new Uint8Array(size);
      vcpu.getState(name, bytes);
      vcpu.setState(name, bytes);
      throws('ERR_OUT_OF_RANGE', () => vcpu.getState(name, new Uint8Array(size + 1)));
    }
    throws('ERR_OUT_OF_RANGE', () => vcpu.getState('toString', new Uint8Array(8)));
    vcpu.setMsrs(Uint32Array.of(0xc000_0102), vcpu.getMsrs(Uint32Array.of(0xc000_0102)));
    throws('ERR_SYSCALL', () => vcpu.getMsrs(Uint32Array.of(0x1_2345)));
    throws('ERR_OUT_OF_RANGE', () => vcpu.setMsrs(new Uint32Array(2), new BigUint64Array(1)));
    vcpu.setGuestDebug(new Uint8Array(72));
    assert.equal(vcpu.translate(0x1000n), 0x1000n);
    vcpu.nmi();
    throws('ERR_OUT_OF_RANGE', () => vcpu.interrupt(256));
    const log = new Uint8Array(32);
    vm.orDirtyLog(0, log, 0, null, 0);
    assert.equal(log[0], 4);
    throws('ERR_BUFFER_TOO_SMALL', () => vm.orDirtyLog(0, new Uint8Array(31), 0, null, 0));
    throws('ERR_SLOT_UNKNOWN', () => vm.orDirtyLog(9, log, 0, null, 0));
    for (const forged of [undefined, null, 5, {}, vcpu, Object.create(vm)]) {
      throws('ERR_INVALID_ARG_TYPE', () => vm.close.call(forged));
    }
    assert.equal(vcpu.failedCall, 'KVM_RUN');
    vm.setManualLog(true, false);
    vm.orDirtyLog(0, log, 0, null, 0);
    vm.clearDirtyLog(0);
    vm.setManualLog(false, false);
    throws('ERR_SLOT_UNKNOWN', () => vm.clearDirtyLog(9));
    throws('ERR_DIRTY_SOURCE', () => vm.collectRings());
    throws('ERR_DIRTY_SOURCE', () => vm.ringCounters(0));
    throws('ERR_OUT_OF_RANGE', () => vm.enableDirtyRing(1000));
    throws('ERR_SYSCALL', () => vm.enableDirtyRing(1024));
    const attached = addon.attachVm(vm.fd);
    attached.close();
    if (isMainThread) {
      // One fault for the whole process: the workers, which run at the same time, would take it from each other.
      addon.injectFault('KVM_GET_REGS', 1, 5);
      throws('ERR_SYSCALL', () => vcpu.getState('regs', new Uint8Array(144)));
    }
    vcpu.close();
    vcpu.close();
    throws('ERR_DISPOSED', run);
    throws('ERR_DISPOSED', () => vcpu.fd);
    page.setUint8(1, 1);
  });
  // Not closed: the end of the thread, or the collector, releases it.
  const left = addon.openSystem(device).createVm();
  addon.createVcpu(left.fd, 0, new Uint8Array(new SharedArrayBuffer(STATS_BYTES)));
}

memory();
bitmaps();
pageTracker();
thread();
events();
lab();
if (existsSync(device)) {
  vcpus();
  notifications();
  rings();
}

if (isMainThread) {
  // Buffers that outlive the worker that made them, and the last reference dropped here.
  const kept = [];
  await Promise.all(
    [0, 1, 2].map(
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { workerData: { path } });
          worker.on('message', buffer => kept.push(new Uint8Array(buffer)));
          worker.on('error', reject);
          worker.on('exit', code => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
        }),
    ),
  );
  for (const bytes of kept) assert.equal(bytes[0x1fffff], 77);
  kept.length = 0;
  globalThis.gc?.();
  console.log(`  addon exercised on the main thread and in 3 workers, ${existsSync(device) ? 'with' : 'without'} KVM`);
} else {
  const { buffer } = addon.mapMemory({ size: 0x20_0000, kind: 'anonymous' });
  new Uint8Array(buffer)[0x1fffff] = 77;
  parentPort.postMessage(buffer);
}

// irqfds: a signal of an eventfd, by any thread, interrupts the guest through the interrupt controller in the kernel.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { SmallMachine } from '../small-machine.ts';

const test = kvmSuite('irqfd');
const IRQ = 5;

/**
 * Real mode: the PIC with vectors from 0x20 on and IRQ 5 alone, as a level or by edges; out 0x10; then hlt for ever. The handler, which lies first: out 0x11,
 * end of interrupt, out 0x12.
 */
const guest = (trigger: 'edge' | 'level') =>
  code(
    jump(0xeb, 'start'),
    [0xe6, 0x11], //                                      handler (0x1002): out 0x11, al
    [0xb0, 0x20], //                                      mov al, 0x20
    [0xe6, 0x20], //                                      out 0x20, al          end of interrupt
    [0xe6, 0x12], //                                      out 0x12, al
    [0xcf], //                                            iret
    at('start'),
    [0xb0, 0x11], //                                      mov al, 0x11
    [0xe6, 0x20], //                                      out 0x20, al          ICW1
    [0xb0, 0x20], //                                      mov al, 0x20
    [0xe6, 0x21], //                                      out 0x21, al          ICW2: vectors
    [0xb0, 0x04], //                                      mov al, 0x04
    [0xe6, 0x21], //                                      out 0x21, al          ICW3
    [0xb0, 0x01], //                                      mov al, 0x01
    [0xe6, 0x21], //                                      out 0x21, al          ICW4
    [0xb0, 0xdf], //                                      mov al, 0xdf
    [0xe6, 0x21], //                                      out 0x21, al          mask: IRQ 5
    [0xba, 0xd0, 0x04], //                                mov dx, 0x4d0
    [0xb0, trigger === 'level' ? 1 << IRQ : 0], //        mov al, trigger
    [0xee], //                                            out dx, al            ELCR
    [0xc7, 0x06, 0x94, 0x00, 0x02, 0x10], //              mov word [0x94], handler
    [0xc7, 0x06, 0x96, 0x00, 0x00, 0x00], //              mov word [0x96], 0
    [0xe6, 0x10], //                                      out 0x10, al
    [0xfb], //                                            sti
    at('wait'),
    [0xf4], //                                            hlt
    jump(0xeb, 'wait'),
  );

/** Started, up to where it waits for interrupts. */
function waiting(trigger: 'edge' | 'level'): SmallMachine {
  const machine = new SmallMachine(guest(trigger), { irqchip: true });
  assert.is(machine.next(), 'out 0x10');
  return machine;
}

test('each signal of another thread interrupts the guest once, and is taken from the counter', async () => {
  const machine = waiting('edge');
  const event = native().createEventFd();
  machine.vm.assignIrqFd(IRQ, event, null);
  const signaller = new Worker(new URL('../event-signaller.js', import.meta.url), { workerData: event.id });
  await once(signaller, 'online');

  for (let interrupt = 0; interrupt < 20; interrupt++) {
    // The guest sleeps in the kernel, and this thread with it, until the signal has come.
    signaller.postMessage('signal');
    assert.equal([machine.next(), machine.next()], ['out 0x11', 'out 0x12']);
  }
  assert.is(event.take(), 0);
  await signaller.terminate();
  machine.close();
});

test('a level: the resampling event is signalled when the guest has acknowledged', () => {
  const machine = waiting('level');
  const [event, resample] = [native().createEventFd(), native().createEventFd()];
  machine.vm.assignIrqFd(IRQ, event, resample);
  const told = native().createEventWaiter([resample]);

  for (let interrupt = 0; interrupt < 5; interrupt++) {
    event.signal();
    assert.is(machine.next(), 'out 0x11');
    assert.is(resample.take(), 0);
    assert.is(machine.next(), 'out 0x12');
    assert.is(told.wait(1000, new Uint32Array(1)), 1);
    assert.is(resample.take(), 1);
  }
  machine.close();
});

test('deassigned, a signal stays in the counter and raises nothing', () => {
  const machine = waiting('edge');
  const [event, other] = [native().createEventFd(), native().createEventFd()];
  machine.vm.assignIrqFd(IRQ, event, null);
  machine.vm.deassignIrqFd(IRQ, event);
  machine.vm.assignIrqFd(IRQ, other, null);
  event.signal();
  assert.is(event.take(), 1);

  other.signal();
  assert.equal([machine.next(), machine.next()], ['out 0x11', 'out 0x12']);
  machine.close();
});

test('what cannot be is refused, and changes nothing', async () => {
  const machine = waiting('edge');
  const { vm } = machine;
  const event = native().createEventFd();
  const closed = native().createEventFd();
  closed.close();
  assert.is(await codeOf(() => vm.assignIrqFd(-1, event, null)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vm.assignIrqFd(IRQ, closed, null)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.assignIrqFd(IRQ, event, closed)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.assignIrqFd(IRQ, event, undefined as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => vm.assignIrqFd(IRQ, {} as never, null)), 'ERR_INVALID_ARG_TYPE');
  event.signal();
  assert.is(event.take(), 1);
  vm.assignIrqFd(IRQ, event, null);
  assert.is(await codeOf(() => vm.assignIrqFd(IRQ, event, null)), 'ERR_SYSCALL');

  event.signal();
  assert.is(machine.next(), 'out 0x11');
  machine.close();
  assert.is(await codeOf(() => vm.assignIrqFd(IRQ, event, null)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.deassignIrqFd(IRQ, event)), 'ERR_DISPOSED');
});

test('without an interrupt controller in the kernel there is none', async () => {
  const machine = new SmallMachine(guest('edge'));
  const event = native().createEventFd();
  assert.is(await codeOf(() => machine.vm.assignIrqFd(IRQ, event, null)), 'ERR_SYSCALL');
  machine.close();
});

test.run();

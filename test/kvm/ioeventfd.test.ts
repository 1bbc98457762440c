// ioeventfds: a guest's writes signal an eventfd inside KVM, exactly as often as they are made, and are no exits; those that don't match are.

import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { EventThread } from '../event-thread.ts';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { SmallMachine } from '../small-machine.ts';

const test = kvmSuite('ioeventfd');

const ROUNDS = 100;
const PORT = 0x10;
/** Above the machine's RAM. */
const ADDRESS = 0x8_0000;

/** Real mode: writes 100, 99, … 1 to the port and to the address, one byte each, and halts; for ever. */
const guest = code(
  at('start'),
  [0xb8, 0x00, 0x80], // mov ax, 0x8000
  [0x8e, 0xd8], //       mov ds, ax
  [0xb9, 0x64, 0x00], // mov cx, 100
  at('again'),
  [0x88, 0xc8], //       mov al, cl
  [0xe6, 0x10], //       out 0x10, al
  [0xa2, 0x00, 0x00], // mov [0], al
  jump(0xe2, 'again'), //loop again
  [0xf4], //             hlt
  jump(0xeb, 'start'), //jmp start
);

const BOTH = { 'out 0x10': ROUNDS, mmio: ROUNDS };

const newEvent = () => native().createEventFd();

test('writes to a port and to an address are counted exactly, and are no exits', () => {
  const machine = new SmallMachine(guest);
  const [port, address] = [newEvent(), newEvent()];
  machine.vm.assignIoEventFd('pio', PORT, 1, null, port);
  machine.vm.assignIoEventFd('mmio', ADDRESS, 1, null, address);

  for (let run = 0; run < 5; run++) {
    assert.equal(machine.exits(), {});
    assert.equal([port.take(), address.take()], [ROUNDS, ROUNDS]);
  }
  machine.close();
});

test('with a value, writes of that value alone; with another length, none; with length 0, all', () => {
  const machine = new SmallMachine(guest);
  const [seven, eight, wide, any] = [newEvent(), newEvent(), newEvent(), newEvent()];
  machine.vm.assignIoEventFd('pio', PORT, 1, 7n, seven);
  machine.vm.assignIoEventFd('pio', PORT, 1, 8n, eight);
  machine.vm.assignIoEventFd('pio', PORT, 2, null, wide);
  machine.vm.assignIoEventFd('mmio', ADDRESS, 0, null, any);

  assert.equal(machine.exits(), { 'out 0x10': ROUNDS - 2 });
  assert.equal(
    [seven, eight, wide, any].map(event => event.take()),
    [1, 1, 0, ROUNDS],
  );
  machine.close();
});

test('deassigned, writes are exits again; assigned again, they are not', () => {
  const machine = new SmallMachine(guest);
  const event = newEvent();
  machine.vm.assignIoEventFd('pio', PORT, 1, null, event);
  assert.equal(machine.exits(), { mmio: ROUNDS });
  machine.vm.deassignIoEventFd('pio', PORT, 1, null, event);
  assert.equal(machine.exits(), BOTH);
  machine.vm.assignIoEventFd('pio', PORT, 1, null, event);
  assert.equal(machine.exits(), { mmio: ROUNDS });

  assert.is(event.take(), 2 * ROUNDS);
  machine.close();
});

test('what cannot be is refused, and changes nothing', async () => {
  const machine = new SmallMachine(guest);
  const { vm } = machine;
  const event = newEvent();
  const assign = (space: string, address: number, length: number, match: bigint | null = null) =>
    codeOf(() => vm.assignIoEventFd(space as 'pio', address, length, match, event));

  for (const length of [-1, 3, 9, 0.5]) assert.is(await assign('pio', PORT, length), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('io', PORT, 1), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('pio', PORT, 8), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('pio', 0xffff, 2), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('pio', 0x1_0000, 0), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('mmio', -1, 1), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('pio', PORT, 1, 256n), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('mmio', ADDRESS, 0, 1n), 'ERR_OUT_OF_RANGE');
  assert.is(await assign('mmio', ADDRESS, 8, 2n ** 64n), 'ERR_OUT_OF_RANGE');
  for (const bad of [undefined, null, {}, event.id, vm])
    assert.is(await codeOf(() => vm.assignIoEventFd('pio', PORT, 1, null, bad as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => vm.assignIoEventFd('pio', PORT, 1, 5 as never, event)), 'ERR_INVALID_ARG_TYPE');
  const closed = newEvent();
  closed.close();
  assert.is(await codeOf(() => vm.assignIoEventFd('pio', PORT, 1, null, closed)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.deassignIoEventFd('pio', PORT, 1, null, event)), 'ERR_SYSCALL');
  native().injectFault('KVM_IOEVENTFD', 1, 28);
  assert.is(await assign('pio', PORT, 1), 'ERR_SYSCALL');

  assert.equal(machine.exits(), BOTH);
  assert.is(event.take(), 0);
  machine.close();
});

test('the same writes twice are refused, with the errno, and the first event keeps them', () => {
  const machine = new SmallMachine(guest);
  const [event, other] = [newEvent(), newEvent()];
  machine.vm.assignIoEventFd('mmio', ADDRESS, 1, null, event);
  try {
    machine.vm.assignIoEventFd('mmio', ADDRESS, 1, 7n, other);
    assert.unreachable();
  } catch (error) {
    assert.equal((({ code, errno, syscall }: Record<string, unknown>) => ({ code, errno, syscall }))(error as never), {
      code: 'ERR_SYSCALL',
      errno: 17,
      syscall: 'KVM_IOEVENTFD',
    });
  }

  machine.exits();
  assert.equal([event.take(), other.take()], [ROUNDS, 0]);
  machine.close();
});

test('events that were closed while they are assigned: the writes stay without exits', () => {
  const machine = new SmallMachine(guest);
  const event = newEvent();
  machine.vm.assignIoEventFd('pio', PORT, 1, null, event);
  event.close();

  assert.equal(machine.exits(), { mmio: ROUNDS });
  machine.close();
});

test("a thread is woken by the guest's writes, and is left alone when the machine is closed under it", async () => {
  const machine = new SmallMachine(guest);
  const [port, idle] = [newEvent(), newEvent()];
  machine.vm.assignIoEventFd('pio', PORT, 1, 1n, port);
  machine.vm.assignIoEventFd('mmio', ADDRESS, 2, null, idle);
  const thread = new EventThread([port, idle]);
  await thread.started();
  for (let run = 1; run <= 10; run++) {
    machine.exits();
    await thread.reported(0, run);
  }
  machine.close();
  idle.signal();
  await thread.reported(1, 1);

  await thread.stop();

  assert.equal([thread.reports(0), thread.reports(1), port.take()], [10, 1, 10]);
  assert.is(await codeOf(() => machine.vm.assignIoEventFd('pio', PORT, 1, null, port)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => machine.vm.deassignIoEventFd('pio', PORT, 1, 1n, port)), 'ERR_DISPOSED');
});

test.run();

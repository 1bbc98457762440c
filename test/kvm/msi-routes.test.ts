// A split irqchip's kernel half: LAPICs that take interrupt messages, sent at once or by irqfds along routes; ends of levels are exits.

import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { KVM_CAP } from '../../shared/generated/kvm-abi.ts';
import { codeOf } from '../errors.ts';
import { at, code, jump } from '../guest-code.ts';
import { hasKvm, kvmDevice, kvmSuite, suiteUnless } from '../harness.ts';
import { SmallMachine } from '../small-machine.ts';

function missing(): string | undefined {
  const system = native().openSystem(kvmDevice);
  const has = system.checkExtension(KVM_CAP.SPLIT_IRQCHIP) > 0;
  system.close();
  return has ? undefined : 'this KVM lacks KVM_CAP_SPLIT_IRQCHIP';
}

const name = 'MSI routes';
const test = hasKvm ? suiteUnless(missing(), name) : kvmSuite(name);
const GSI = 5;
const EDGE = [0xfee0_0000, 0x4025] as const;
const LEVEL = [0xfee0_0000, 0xc025] as const;

/** Real mode: turns the LAPIC on; out 0x10; then hlt for ever. The handler of vector 0x25, which lies first: out 0x11, end of interrupt, out 0x12. */
const guest = code(
  jump(0xeb, 'start'),
  [0xe6, 0x11], //                                             handler (0x1002): out 0x11, al
  [0x64, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0, 0, 0, 0], //         mov dword fs:[0xb0], 0
  [0xe6, 0x12], //                                             out 0x12, al
  [0xcf], //                                                   iret
  at('start'),
  [0x64, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0], //   mov dword fs:[0xf0], 0x1ff
  [0xc7, 0x06, 0x94, 0x00, 0x02, 0x10], //                     mov word [0x94], handler
  [0xc7, 0x06, 0x96, 0x00, 0x00, 0x00], //                     mov word [0x96], 0
  [0xe6, 0x10], //                                             out 0x10, al
  [0xfb], //                                                   sti
  at('wait'),
  [0xf4], //                                                   hlt
  jump(0xeb, 'wait'),
);

function waiting(): SmallMachine {
  const machine = new SmallMachine(guest, { irqchip: 'split' });
  assert.is(machine.next(), 'out 0x10');
  return machine;
}

test('a message interrupts; one to a LAPIC that is not there is taken by nobody', () => {
  const machine = waiting();
  assert.is(machine.vm.signalMsi(0xfee4_d000, 0x4025), false);
  assert.is(machine.vm.signalMsi(...EDGE), true);
  assert.equal([machine.next(), machine.next()], ['out 0x11', 'out 0x12']);
  machine.close();
});

test('an irqfd follows the routes as they change, and without one its signals are lost', () => {
  const machine = waiting();
  const { vm } = machine;
  const event = native().createEventFd();
  vm.assignIrqFd(GSI, event, null);
  event.signal();
  vm.setMsiRoutes(Uint32Array.of(GSI, ...EDGE));
  event.signal();
  assert.equal([machine.next(), machine.next()], ['out 0x11', 'out 0x12']);
  vm.setMsiRoutes(Uint32Array.of(GSI + 1, ...EDGE));
  event.signal();
  vm.setMsiRoutes(Uint32Array.of(GSI, ...EDGE));
  event.signal();
  assert.equal([machine.next(), machine.next()], ['out 0x11', 'out 0x12']);
  // One more would come before this one.
  vm.setMsiRoutes(Uint32Array.of(GSI, ...LEVEL));
  assert.is(vm.signalMsi(...LEVEL), true);
  assert.equal([machine.next(), machine.next(), machine.next()], ['out 0x11', 'eoi 0x25', 'out 0x12']);
  event.close();
  machine.close();
});

test('what cannot be is refused', async () => {
  const machine = waiting();
  const { vm } = machine;
  assert.is(await codeOf(() => vm.setMsiRoutes(new Uint32Array(4))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vm.setMsiRoutes([1, 2, 3] as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => vm.setMsiRoutes(Uint32Array.of(0xffff_ffff, ...EDGE))), 'ERR_SYSCALL');
  assert.is(await codeOf(() => vm.signalMsi(-1, 0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vm.splitIrqchip(24)), 'ERR_SYSCALL');
  machine.close();
  assert.is(await codeOf(() => vm.setMsiRoutes(new Uint32Array(0))), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.signalMsi(...EDGE)), 'ERR_DISPOSED');
});

test.run();

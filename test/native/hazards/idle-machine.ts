// Hazard: machines that do not run, made, loaded or paused, are forgotten: they must not keep the process alive.

import { flat, VirtualMachine } from 'node-kvm';
import { spinning, startSpinning } from '../../spinning-guest.ts';

await VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm' });
const loaded = await VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm' });
await loaded.load(flat(spinning, { at: 0x8000, mode: 64 }));
const paused = await startSpinning();
await paused.pause();
console.log('EVENT');

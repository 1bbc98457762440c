// Wake-ups: how long it takes to wake a sleeping thread and be woken by it, between JavaScript threads and between a guest and a
// JavaScript thread. Main thread.

import { SAMPLES_MAX, STORM_PORTS } from '../../../../shared/lab/storm.ts';
import { deviceModule } from '../../devices/device-module.ts';
import { requireResult } from '../machines/guest-mixes.ts';
import { labDevice, StormMachine } from '../machines/storm-machine.ts';
import { WakeBell } from '../machines/wake-bell.ts';
import { WakeRing } from '../machines/wake-ring.ts';
import type { ActorMix } from '../report.ts';
import type { LabContext, OpenVariant, Variant, Workload } from '../workload.ts';

/** Questions in a repetition of scale 1. */
const QUESTIONS = 20;

type Via = 'wait' | 'waitAsync' | 'doorbell' | 'ioeventfd';

export const wakeUps: Workload = {
  suite: 'wake',
  name: 'round-trip',
  title:
    'waking a sleeping thread and being woken by it: Atomics.wait, Atomics.waitAsync, doorbell and ioeventfd of a guest',
  model:
    "One operation is a round trip: one side wakes the other and sleeps until it is woken. 'wait': two worker threads with Atomics.wait and notify. 'waitAsync': the " +
    "main thread answers from its event loop. 'doorbell': a guest writes to a port, whose device wakes a worker thread, and reads another port, whose device sleeps until " +
    "the answer has come: two exits and two wake-ups; its latencies are taken by the device, from the write to the answer. 'ioeventfd': a guest writes to a port for which KVM " +
    'signals an eventfd, without an exit to user space; a worker thread that sleeps in epoll_wait answers by a store, on which the guest spins: one wake-up; its latencies are taken by the ' +
    'guest, by its time-stamp counter. Threads are on different CPUs where there are two: ' +
    "most of it is the scheduler's way from a wake-up to running, and, on idle CPUs, leaving a sleep state. The baseline is two C threads with futexes, and for 'ioeventfd' the same " +
    'guest with a C thread. Compare percentiles: the mean hides late wake-ups.',
  kinds: ['js', 'guest'],
  variants(context) {
    const threads = (['wait', 'waitAsync'] as const).map(via =>
      wakeVariant(context, 'js:2', via, () => openThreads(context, via, 'js')),
    );
    if (!context.hasKvm) {
      context.skip('wake/round-trip, doorbell and ioeventfd', 'a guest needs KVM');
      return threads;
    }
    return [
      ...threads,
      wakeVariant(context, 'guest:1+js:1', 'doorbell', () => openDoorbell(context)),
      {
        ...wakeVariant(context, 'guest:1+js:1', 'ioeventfd', () => openRing(context, 'js')),
        openBaseline: () => openRing(context, 'c'),
      },
    ];
  },
};

function wakeVariant(context: LabContext, actors: ActorMix, via: Via, open: () => Promise<OpenVariant>): Variant {
  return {
    suite: 'wake',
    workload: 'round-trip',
    actors,
    count: 2,
    parameters: { via },
    unit: 'us',
    better: 'lower',
    open,
    // The same for all of them: what the machine can do between two threads.
    openBaseline: () => openThreads(context, 'wait', 'c'),
  };
}

/** Repetitions that ask: `ask` resolves with the nanoseconds of all its questions. */
function asking(bell: WakeBell, ask: (count: number) => Promise<number>, close: () => Promise<void>): OpenVariant {
  let lastNs = 0;
  return {
    get lastNs() {
      return lastNs;
    },
    async repeat(scale) {
      const count = QUESTIONS * Math.ceil(scale);
      const before = bell.answered;
      lastNs = await ask(count);
      const answers = bell.answered - before;
      requireResult(answers === count, () => `${count} questions had ${answers} answers`);
      return { value: lastNs / count / 1e3, latenciesNs: bell.samples() };
    },
    [Symbol.asyncDispose]: close,
  };
}

async function openThreads(context: LabContext, via: 'wait' | 'waitAsync', by: 'js' | 'c'): Promise<OpenVariant> {
  const bell = new WakeBell();
  try {
    await bell.addThread('ask', by, context.cpus[0]);
    if (via === 'wait') await bell.addThread('answer', by, context.cpus[1] ?? context.cpus[0]);
  } catch (error) {
    await bell[Symbol.asyncDispose]();
    throw error;
  }
  const here = via === 'waitAsync' ? bell.answerHere() : undefined;
  const ask = async (count: number) => {
    await bell.askAll(count);
    // Taken by the asking thread: waking this one to tell it that all is over is no part of it.
    return bell.elapsedNs;
  };
  return asking(bell, ask, async () => {
    await bell[Symbol.asyncDispose]();
    await here;
  });
}

async function openDoorbell(context: LabContext): Promise<OpenVariant> {
  const bell = new WakeBell();
  try {
    await bell.addThread('answer', 'js', context.cpus[1] ?? context.cpus[0]);
    const machine = await StormMachine.open({
      vcpus: 1,
      cpus: context.cpus.slice(0, 1),
      devices: () => [
        deviceModule(labDevice('storm-bell'), {
          name: 'doorbell',
          pio: { base: STORM_PORTS.BELL, length: STORM_PORTS.ANSWER + 4 - STORM_PORTS.BELL },
          where: 'vcpu',
          state: bell.state,
        }),
      ],
    });
    const ask = (count: number) => {
      bell.clearSamples();
      return machine.run(() => ({ kind: 'bell', count }));
    };
    return asking(bell, ask, async () => {
      await machine[Symbol.asyncDispose]();
      await bell[Symbol.asyncDispose]();
    });
  } catch (error) {
    await bell[Symbol.asyncDispose]();
    throw error;
  }
}

async function openRing(context: LabContext, by: 'js' | 'c'): Promise<OpenVariant> {
  const ring = await WakeRing.open(by, context.cpus);
  let lastNs = 0;
  return {
    get lastNs() {
      return lastNs;
    },
    async repeat(scale) {
      const count = Math.min(QUESTIONS * Math.ceil(scale), SAMPLES_MAX);
      const latenciesNs = await ring.ask(count);
      lastNs = latenciesNs.reduce((sum, ns) => sum + ns, 0);
      return { value: lastNs / count / 1e3, latenciesNs };
    },
    [Symbol.asyncDispose]: () => ring[Symbol.asyncDispose](),
  };
}

// What the main thread does beside the guest: it answers the doorbell and shows progress.

import { SingleBar } from 'cli-progress';
import { type KvmMemory, u32le } from 'node-kvm';
import { ANSWER_ADDRESS } from '../guest/guest.ts';

/** What the answering side has seen. */
export interface Answers {
  rings: number;
  /** Milliseconds from the first ring to the last one. */
  milliseconds: number;
}

/**
 * Sleeps in Atomics.waitAsync until a vCPU rings, and stores the ring's number where the guest waits for it. Runs beside
 * everything else on the main thread's event loop; the result fills while it does.
 */
export function answerDoorbell(bell: SharedArrayBuffer, memory: KvmMemory, rings: number): Answers {
  const word = new Int32Array(bell);
  const answers: Answers = { rings: 0, milliseconds: 0 };
  const answer = async () => {
    let first = 0;
    for (let heard = 0; heard < rings; ) {
      await Atomics.waitAsync(word, 0, heard).value;
      heard = Atomics.load(word, 0);
      memory.atomics.store(ANSWER_ADDRESS, u32le, heard);
      answers.rings += 1;
      first ||= performance.now();
      answers.milliseconds = performance.now() - first;
    }
  };
  void answer();
  return answers;
}

/** A progress bar on a terminal, nothing elsewhere. Returns what ends it. */
export function watchCounter(read: () => number, total: number): () => void {
  if (process.stderr.isTTY !== true) return () => {};
  const bar = new SingleBar({
    format: 'counter {bar} {percentage}% {value}',
    clearOnComplete: true,
    stream: process.stderr,
  });
  bar.start(total, 0);
  const timer = setInterval(() => bar.update(read()), 100);
  return () => {
    clearInterval(timer);
    bar.stop();
  };
}

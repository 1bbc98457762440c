// How far a run of the lab is: a bar with the time left on a terminal, now and then a line elsewhere. Main thread; writes to standard error.

import { SingleBar } from 'cli-progress';
import { durationText } from './bench-text.ts';

/** Between two lines where there is no terminal: they stay in logs. */
const LINE_EVERY_MS = 10_000;
/** Before it, a share says too little of how long the rest takes. */
const SHARE_MIN = 0.02;
const SHARE_STEPS = 1000;

export interface BenchProgress {
  /** `share` of the whole run, 0 to 1; `what` is being measured. */
  update(share: number, what: string): void;
  /** Takes the bar away. Idempotent. */
  end(): void;
}

/** On a terminal a bar, elsewhere lines. `now`: milliseconds, for tests. */
export function showBenchProgress(
  stream: NodeJS.WritableStream & { readonly isTTY?: boolean },
  now: () => number = () => performance.now(),
): BenchProgress {
  return stream.isTTY === true ? bar(stream, now) : lines(stream, now);
}

function bar(stream: NodeJS.WritableStream, now: () => number): BenchProgress {
  const begin = now();
  const single = new SingleBar({
    format: '{bar} {percentage} %, {left}  {what}',
    barsize: 24,
    clearOnComplete: true,
    hideCursor: true,
    // A line that is wrapped could not be taken away.
    linewrap: false,
    stream,
  });
  single.start(SHARE_STEPS, 0, { left: '', what: '' });
  return {
    update(share, what) {
      single.update(Math.round(share * SHARE_STEPS), { left: leftText(share, now() - begin), what });
    },
    end: () => single.stop(),
  };
}

function lines(stream: NodeJS.WritableStream, now: () => number): BenchProgress {
  const begin = now();
  let last = Number.NEGATIVE_INFINITY;
  return {
    update(share, what) {
      if (now() - last < LINE_EVERY_MS) return;
      last = now();
      stream.write(`node-kvm: ${Math.floor(100 * share)} %, ${leftText(share, now() - begin)}: ${what}\n`);
    },
    end: () => {},
  };
}

/** `12 s left`, from how long the share that is done took. */
export function leftText(share: number, elapsedMs: number): string {
  if (share < SHARE_MIN) return 'time left unknown';
  return `${durationText((elapsedMs * (1 - Math.min(1, share))) / share / 1000)} left`;
}

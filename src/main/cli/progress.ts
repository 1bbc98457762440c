// A progress line for `node-kvm run`: on a terminal, and only until the guest prints something itself. Main thread. Loaded when it is wanted.

import { SingleBar } from 'cli-progress';
import type { VirtualMachine } from '../vm/virtual-machine.ts';
import type { GuestConsole } from './guest-console.ts';

const PERIOD_MS = 200;

export interface Progress {
  /** Takes the line away. Idempotent. */
  end(): void;
}

/** Shows running time and exits; with a timeout the bar fills towards it. */
export function showProgress(vm: VirtualMachine, output: GuestConsole, timeoutSeconds: number | undefined): Progress {
  const withBar = timeoutSeconds === undefined ? '' : '{bar} ';
  const bar = new SingleBar({
    format: `running ${withBar}{seconds} s, {exits} exits`,
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stderr,
  });
  const begin = performance.now();
  const seconds = () => (performance.now() - begin) / 1000;
  const payload = () => ({ seconds: seconds().toFixed(1), exits: vm.stats().total.exits });
  bar.start(timeoutSeconds ?? 1, 0, payload());
  const timer = setInterval(() => bar.update(timeoutSeconds === undefined ? 0 : seconds(), payload()), PERIOD_MS);
  let shown = true;
  const end = () => {
    if (!shown) return;
    shown = false;
    clearInterval(timer);
    bar.stop();
  };
  output.onFirst = end;
  return { end };
}

// `node-kvm heat <image>`: runs a guest with dirty tracking on and shows which memory it writes: a live map on the terminal, a page
// with the map over time, or JSON. Main thread.

import { basename } from 'node:path';
import { Command } from 'commander';
import type { DirtySourceName } from '../memory/dirty-source.ts';
import type { VirtualMachine } from '../vm/virtual-machine.ts';
import { AtomicFile } from './atomic-file.ts';
import { exitStatus, type Guest, runGuest, withGuest } from './guest.ts';
import { ConsoleCapture, type GuestConsole } from './guest-console.ts';
import { GUEST_HELP, type GuestOptions, withGuestOptions } from './guest-options.ts';
import { ConsoleTail } from './heat-console.ts';
import { heatPage } from './heat-page.ts';
import { heatReport } from './heat-report.ts';
import { summaryLine, type Watched } from './heat-text.ts';
import { chooseView, type HeatView, NO_VIEW } from './heat-view.ts';
import { HeatWatch } from './heat-watch.ts';
import { Interrupts } from './interrupts.ts';
import { humanResult, jsonResult, type RunFacts } from './run-report.ts';
import { choice, parseMilliseconds, parseSeconds } from './values.ts';

const SOURCES: readonly ('auto' | DirtySourceName)[] = ['auto', 'bitmap', 'ring', 'pagemap', 'host'];
const DEFAULT_EVERY_MS = 100;

interface HeatOptions extends GuestOptions {
  readonly every: number;
  readonly seconds?: number;
  readonly source: 'auto' | DirtySourceName;
  readonly html?: string;
  readonly json?: boolean;
}

export function heatCommand(): Command {
  return withGuestOptions(new Command('heat'))
    .description('run an image and show which guest memory is written, as a heat map')
    .option('--every <ms>', 'time between two looks at the dirty pages', parseMilliseconds, DEFAULT_EVERY_MS)
    .option('--seconds <seconds>', 'watch for that long, then stop the guest; that is no failure', parseSeconds)
    .addOption(choice('--source <source>', 'what records dirty pages', SOURCES).default('auto'))
    .option('--html <file>', 'write a page with the map over time; it needs nothing else')
    .option('--json', 'print the result and every interval as JSON on standard output')
    .addHelpText(
      'after',
      GUEST_HELP +
        'Its last lines are shown under the map. On a terminal the map is drawn in colour, or in characters when NO_COLOR is\n' +
        'set; elsewhere every interval is a line.\n' +
        'Exit status: 0 halt, power-off, reset, the end of a program or of --seconds; 1 triple fault, timeout or error;\n' +
        '2 wrong usage; 130 Ctrl-C, 143 SIGTERM. What was recorded until then is shown and written in each case.',
    )
    .action(heat);
}

async function heat(image: string | undefined, options: HeatOptions): Promise<void> {
  const file = options.html === undefined ? undefined : new AtomicFile(options.html);
  const output = options.json === true ? new ConsoleCapture() : new ConsoleTail();
  await withGuest(image, options, output, { dirtyTracking: { source: options.source } }, guest => {
    const watched = describe(guest.vm, guest.path);
    const view = output instanceof ConsoleTail ? chooseView(guest.vm, watched, output) : NO_VIEW;
    return drive({ ...guest, options, output, watched, view, file });
  });
}

function describe(vm: VirtualMachine, path: string): Watched {
  const { memory, engine, vcpus } = vm;
  const source = memory.dirtySource;
  if (source === undefined) throw new Error('tracking is off although the machine was made with it');
  return { image: basename(path), engine, vcpus: vcpus.length, memoryBytes: memory.size(), source };
}

interface Session extends Guest {
  readonly options: HeatOptions;
  readonly output: GuestConsole;
  readonly watched: Watched;
  readonly view: HeatView;
  readonly file: AtomicFile | undefined;
}

/** From start to the report; the result is the exit status. */
async function drive(session: Session): Promise<number> {
  const { vm, options, output, watched, view, file } = session;
  const watch = new HeatWatch(vm, options.every, (ranges, elapsedMs) => view.update(ranges, elapsedMs));
  const { facts, timeIsUp } = await runWatched(session, watch);
  if (watch.error !== undefined) throw watch.error;
  if (options.json === true) {
    const report = heatReport(watched, watch.record, options.every);
    process.stdout.write(jsonResult(facts, output.captured(), { heat: report }, 0));
  } else {
    process.stderr.write(`node-kvm: ${summaryLine(watched, watch.record)}\nnode-kvm: ${humanResult(facts)}\n`);
    if (file !== undefined) process.stderr.write(`node-kvm: the map over time is in ${file.path}\n`);
  }
  return exitStatus(facts, timeIsUp);
}

interface Ending {
  readonly facts: RunFacts;
  /** --seconds stopped the guest. */
  readonly timeIsUp: boolean;
}

/** However it ends: the terminal is as before, and what was recorded is shown and written. */
async function runWatched(session: Session, watch: HeatWatch): Promise<Ending> {
  const { vm, options, output, watched, view, file } = session;
  const interrupts = new Interrupts(vm);
  let timeIsUp = false;
  let timer: NodeJS.Timeout | undefined;
  view.begin(watch.record);
  try {
    watch.begin();
    const facts = await runGuest(session, interrupts, () => {
      if (options.seconds === undefined) return;
      timer = setTimeout(() => {
        timeIsUp = true;
        // How stopping went is in `finished`.
        vm.stop().catch(() => {});
      }, options.seconds * 1000);
    });
    return { facts, timeIsUp };
  } finally {
    clearTimeout(timer);
    watch.end();
    view.end();
    output.end();
    interrupts.release();
    file?.write(heatPage(watched, watch.record, options.every));
  }
}

// Sources are switched while vCPUs write: a copy that is kept up to date from the harvests alone equals memory at the end.

import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { sourceSuite } from '../dirty-pages.ts';
import { differences, fullCopy, replay, startWriting } from '../while-running.ts';

const switching = sourceSuite('pagemap', 'dirty while vCPUs write: switching sources');

switching('between pagemap and both kinds of log', async () => {
  await using vm = await startWriting({ source: 'bitmap' });
  const { memory } = vm;
  const copy = fullCopy(memory);
  for (let round = 0; round < 5; round++) {
    for (const options of [
      { source: 'pagemap' },
      { source: 'bitmap', log: 'manual' },
      { source: 'pagemap' },
      { source: 'bitmap', log: 'plain' },
    ] as const) {
      memory.enableDirtyTracking(options);
      await sleep(1);
      if (round % 2 === 0) replay(memory, copy);
    }
  }
  await vm.pause();
  replay(memory, copy);
  assert.equal(differences(memory, copy), []);
});

switching.run();

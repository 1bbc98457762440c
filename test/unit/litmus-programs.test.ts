// Every litmus program in JavaScript, WebAssembly and C, thread after thread: it does its operations to its words and nothing else.

import { suite } from 'uvu';
import { openTeam } from '../../src/main/lab/actor-team.ts';
import { LITMUS_BYTES } from '../../src/main/lab/litmus/batch.ts';
import { checkSequentially } from '../litmus/sequential.ts';

const test = suite('litmus programs');

for (const kind of ['js', 'wasm', 'c'] as const) {
  test(`${kind}: one thread after the other gives what the operations say`, async () => {
    await using team = await openTeam({ bytes: LITMUS_BYTES, counts: { [kind]: 1 } });
    await checkSequentially(team, kind);
  });
}

test.run();

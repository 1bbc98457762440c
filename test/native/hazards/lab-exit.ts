// Hazard: process.exit(3) while actors of the lab wait for one who never comes, C in native code and a guest in KVM_RUN among them. Argument: 1 with a guest.

import { openTeam } from '../../../src/main/lab/actor-team.ts';

const counts = { js: 1, wasm: 1, c: 1, guest: Number(process.argv[2]) };
const team = await openTeam({ bytes: 1 << 20, counts });
const kinds = (['js', 'wasm', 'c', 'guest'] as const).filter(kind => counts[kind] > 0);
team
  .run(
    kinds.map((kind, i) => ({
      actor: { kind, index: 0 },
      kernel: 'spscPop',
      params: [team.data.at + i * 4096, 1, 64],
    })),
  )
  .catch(() => {});
// Until they are in their kernels: 100 ms is much more than their barrier takes.
setTimeout(() => {
  console.log('EVENT');
  process.exit(3);
}, 100);

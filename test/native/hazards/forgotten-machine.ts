// Hazard: a machine is loaded or running and nobody keeps or disposes of it. The process must still end when it is told to.

import { collect } from '../../process-state.ts';
import { startSpinning } from '../../spinning-guest.ts';

await startSpinning();
await collect();
console.log('EVENT');
process.exitCode = 4;
process.exit();

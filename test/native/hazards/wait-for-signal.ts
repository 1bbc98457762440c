// Hazard: the process is told to end by a signal while vCPUs are in the guest. With 'handler' it ends itself, by its own handler.

import { startSpinning } from '../../spinning-guest.ts';

await startSpinning();
if (process.argv[2] === 'handler') process.on('SIGTERM', () => process.exit(7));
setInterval(() => {}, 1000);
console.log('EVENT');

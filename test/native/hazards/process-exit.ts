// Hazard: process.exit(3) while vCPUs are in the guest.

import { startSpinning } from '../../spinning-guest.ts';

await startSpinning({ cpl: process.argv[2] === '0' ? 0 : 3 });
console.log('EVENT');
process.exit(3);

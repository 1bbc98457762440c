// Hazard: an exception that nobody catches, on the main thread, while vCPUs are in the guest.

import { startSpinning } from '../../spinning-guest.ts';

await startSpinning();
setTimeout(() => {
  console.log('EVENT');
  throw new Error('nobody catches this');
}, 10);

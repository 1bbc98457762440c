// Hazard: a promise that is rejected and has no handler, on the main thread, while vCPUs are in the guest.

import { startSpinning } from '../../spinning-guest.ts';

await startSpinning();
setTimeout(() => {
  console.log('EVENT');
  void Promise.reject(new Error('nobody handles this'));
}, 10);

// Hazard: a worker sleeps in a wait for events that never come, and is ended by somebody who knows nothing of it: by worker.terminate() ('terminate'), or with the
// whole process ('exit').

import { native } from '../../../native/index.ts';
import { EventThread } from '../../event-thread.ts';

const thread = new EventThread([native().createEventFd()], new URL('../../event-thread.js', import.meta.url));
await thread.started();
console.log('EVENT');
if (process.argv[2] === 'exit') process.exit(3);
console.log(`terminated ${await thread.worker.terminate()}`);

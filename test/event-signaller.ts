// A worker thread that signals an eventfd for each message: the other side of the irqfd tests.

import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../native/index.ts';

const event = native().attachEventFd(workerData as number);
parentPort?.on('message', () => event.signal());

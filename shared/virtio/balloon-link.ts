// What a balloon device and the application say to each other. Pure.

import type { BalloonStats } from './balloon.ts';

/** From the application. Bytes. */
export type BalloonCommand = { readonly type: 'target'; readonly bytes: number } | { readonly type: 'stats' };

/** The answer to 'stats'; undefined: there is no driver that tells any. */
export type BalloonEvent = BalloonStats | undefined;

/**
 * Shared words (BigUint64Array), so that a guest that goes on and on makes no messages. Bytes, plain counters: nothing else hangs on them.
 * | word            | written by | read by         | meaning                                            |
 * |-----------------|------------|-----------------|----------------------------------------------------|
 * | BALLOON_ACTUAL  | the device | the application | what the driver says that it has given up          |
 * | BALLOON_GIVEN   | the device | the application | what went back to the host, since the device was made |
 */
export const BALLOON_ACTUAL = 0;
export const BALLOON_GIVEN = 1;
export const BALLOON_WORDS = 2;

// The shared words that steer vCPUs: one Int32Array per VM. Runs on every thread; pure.
//
// Header (VM_WORDS words), then VCPU_WORDS words per vCPU. 256 bytes per vCPU keep neighbours off one cache line.
// All accesses to these words go through Atomics (sequentially consistent), because the request/state pair is a Dekker
// handshake: each side stores its own word and then loads the other's.
//
// | VM word        | written by        | read by           | wake-up                                   |
// |----------------|-------------------|-------------------|-------------------------------------------|
// | MAIN_DOORBELL  | vCPU (add 1)      | main thread       | notify; main sleeps in Atomics.waitAsync  |
// | IO_DOORBELL    | vCPU (add 1)      | I/O worker        | notify; it sleeps in Atomics.waitAsync    |
//
// | vCPU word      | written by        | read by           | wake-up                                   |
// |----------------|-------------------|-------------------|-------------------------------------------|
// | REQUEST        | main (or, and)    | vCPU, each exit   | kick; notify when the vCPU is PARKED      |
// | STATE          | vCPU              | main              | notify when it stores PARKED/IDLE/ENDED   |
// | TID            | vCPU, once        | main (kick)       |                                           |
// | KICK_LOCK      | main, vCPU        | main, vCPU        | notify on unlock                          |
// | MAILBOX        | vCPU, its server  | vCPU, its server  | doorbell to the server, notify to the vCPU|
// | MAILBOX_DEVICE | vCPU              | its server        |                                           |
// | THROTTLE_RUN   | main              | vCPU, each exit   | kick when it was 0                        |
// | THROTTLE_SLEEP | main              | vCPU              | notify on REQUEST, on which it sleeps     |
// | THROTTLE_RAN   | vCPU (add)        | main              |                                           |

export const VM_WORDS = 64;
export const VCPU_WORDS = 64;

export const MAIN_DOORBELL = 0;
export const IO_DOORBELL = 1;

/** Offsets within a vCPU's words; add {@link vcpuBase}. */
export const REQUEST = 0;
export const STATE = 1;
export const TID = 2;
export const KICK_LOCK = 3;
export const MAILBOX = 4;
export const MAILBOX_DEVICE = 5;
/**
 * A dirty limit: run for so many milliseconds at a stretch (0: no limit), then sleep for so many microseconds per millisecond that the stretch
 * took; and the microseconds that it ran so far under limits.
 */
export const THROTTLE_RUN = 6;
export const THROTTLE_SLEEP = 7;
export const THROTTLE_RAN = 8;

/** REQUEST bits. 0 means: run. */
export const REQUEST_PAUSE = 1; // leave the run loop to the event loop, to be resumed
export const REQUEST_STOP = 2; // leave the run loop for good
export const REQUEST_SERVICE = 4; // leave the run loop: a control call waits; the main thread resumes afterwards
export const REQUEST_QUIESCE = 8; // stay outside KVM_RUN on this very thread until the bit is cleared

/**
 * STATE: IDLE → GUEST ⇄ OUTSIDE, OUTSIDE → HANDOVER → OUTSIDE, GUEST → PARKED → GUEST, any → IDLE (left the loop) → ENDED.
 * GUEST means "may be in KVM_RUN"; every other state means that it is not, and will look at REQUEST before it enters.
 */
export const STATE_IDLE = 0; // in the event loop, answers messages
export const STATE_GUEST = 1;
export const STATE_OUTSIDE = 2; // handles an exit
export const STATE_HANDOVER = 3; // sleeps until a device on another thread has handled its exit
export const STATE_PARKED = 4; // quiesced
export const STATE_ENDED = 5; // the vCPU is closed, its thread must not be signalled any more

/** KICK_LOCK: guards tgkill against a thread id that was reused. */
export const KICK_FREE = 0;
export const KICK_LOCKED = 1;
export const KICK_CLOSED = 2; // for good: the thread has left

/** MAILBOX: EMPTY → MAIN | IO (by the vCPU) → DONE | FAILED (by the server) → EMPTY (by the vCPU). */
export const MAILBOX_EMPTY = 0;
export const MAILBOX_MAIN = 1;
export const MAILBOX_IO = 2;
export const MAILBOX_DONE = 3;
export const MAILBOX_FAILED = 4;

/** A new, zeroed control block for `vcpus` vCPUs. */
export function createControlBlock(vcpus: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer((VM_WORDS + vcpus * VCPU_WORDS) * 4));
}

/** Index of vCPU `index`'s first word. */
export function vcpuBase(index: number): number {
  return VM_WORDS + index * VCPU_WORDS;
}

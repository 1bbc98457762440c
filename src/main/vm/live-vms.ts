// The net under process.exit() and uncaught exceptions: Node waits for its workers, and a worker in KVM_RUN would never end. One
// listener for all VMs whose vCPUs may run, there only while such VMs exist. Main thread (or any thread that embeds VMs).

/** A VM that can take its vCPUs out of the guest at once, without waiting for anything. */
export interface Stoppable {
  stopNow(): void;
}

const live = new Set<Stoppable>();

function onExit(): void {
  for (const vm of live) vm.stopNow();
}

export function addLive(vm: Stoppable): void {
  if (live.size === 0) process.on('exit', onExit);
  live.add(vm);
}

export function removeLive(vm: Stoppable): void {
  if (live.delete(vm) && live.size === 0) process.off('exit', onExit);
}

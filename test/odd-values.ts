// Values that handlers may throw and that fight back when somebody looks at them. Pure.

/** An error whose message cannot be read: reading it throws the error itself. */
export function unreadable(): Error {
  const error = new Error();
  Object.defineProperty(error, 'message', {
    get() {
      throw error;
    },
  });
  return error;
}

/** A proxy that every question ends at, `instanceof` included. */
export function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

export const oddValues: readonly (() => unknown)[] = [
  unreadable,
  revoked,
  () => Object.create(null),
  () => undefined,
  () => null,
  () => Symbol('odd'),
];

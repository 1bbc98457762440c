// Errors as tests look at them: by code. Pure.

/** The code of what the promise, or the call, fails with; 'no error' when it does not. */
export async function codeOf(attempt: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof attempt === 'function' ? attempt() : attempt);
    return 'no error';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

// Seeded random numbers, the same on every run with the same seed. Pure; every thread.

/** Marsaglia's xorshift with 32 bits of state. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Spreads seeds that are close to each other; the state must not be zero.
    this.#state = (Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ (seed >>> 13)) | 1;
  }

  /** An integer in [0, 2^32). */
  next(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return this.next() % limit;
  }

  /** True once in `count` times, on average. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

// Values on the command line: sizes, addresses, counts, choices. Main thread; pure. What is wrong is a UsageError.

import { Option } from 'commander';
import { GIB, KIB, MIB, PAGE_SIZE } from '../../../shared/units.ts';

/** The user asked for something that makes no sense: exit status 2. */
export class UsageError extends Error {}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: KIB, M: MIB, G: GIB, T: 1024 * GIB };

/** `64M`, `2G`, `0x100000`, `4096`: bytes, binary units; whole pages. */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMGT]?)(?:i?B)?$/i.exec(text);
  const bytes =
    match === null ? parseHex(text) : Number(match[1]) * (UNITS[(match[2] ?? '').toUpperCase()] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new UsageError(`'${text}' is no size: use bytes, or a number with K, M, G or T`);
  if (bytes % PAGE_SIZE !== 0) throw new UsageError(`'${text}' is no multiple of a page (4K)`);
  return bytes;
}

/** A decimal or 0x number from 0 on. */
export function parseAddress(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : parseHex(text);
  if (!Number.isSafeInteger(value))
    throw new UsageError(`'${text}' is no address: use a decimal or 0x number below 2^53`);
  return value;
}

/** An integer from 1 on. */
export function parseCount(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`'${text}' is no count: use an integer from 1 on`);
  return value;
}

/** Seconds above 0, fractions allowed; setTimeout ends at 2^31 ms. */
export function parseSeconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0 && value <= 2_147_483))
    throw new UsageError(`'${text}' is no time: use seconds above 0, up to 2147483`);
  return value;
}

/** Whole milliseconds, from 1 up to an hour. */
export function parseMilliseconds(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 1 && value <= 3_600_000))
    throw new UsageError(`'${text}' is no interval: use whole milliseconds from 1 to 3600000`);
  return value;
}

/** An option that takes one of a few words. */
export function choice(flags: string, description: string, words: readonly string[]): Option {
  return new Option(flags, description).choices(words);
}

/** `first,second`: the parts between commas; two commas are one that is meant. */
export function splitList(text: string): string[] {
  const COMMA = '\0';
  return text
    .replaceAll(',,', COMMA)
    .split(',')
    .map(part => part.replaceAll(COMMA, ','));
}

function parseHex(text: string): number {
  return /^0x[0-9a-f]+$/i.test(text) ? Number(text) : Number.NaN;
}

/** `1.5 GiB`, `64 MiB`, `4 KiB`, `12 bytes`. */
export function showSize(bytes: number): string {
  for (const [unit, size] of [
    ['TiB', 1024 * GIB],
    ['GiB', GIB],
    ['MiB', MIB],
    ['KiB', KIB],
  ] as const) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`;
  }
  return `${bytes} bytes`;
}

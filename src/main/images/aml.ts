// Encodes the few terms of AML that a DSDT of simple devices needs. Main thread; pure: each function returns the bytes of one term.
// Source: ACPI specification 6.5, chapter 20 (AML grammar) and 6.4 (resource descriptors).

export type Term = readonly number[];

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const EXTENDED = 0x5b;
const DEVICE_OP = 0x82;

/** Little-endian bytes of an unsigned integer of up to 32 bits. */
const bytesOf = (value: number, count: number) =>
  Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** i) & 0xff);

/** PkgLength: counts itself and `content`. @throws RangeError from 2^28 bytes on, which no table here comes near */
function packageLength(content: number): Term {
  if (content + 1 < 0x40) return [content + 1];
  for (const extra of [1, 2, 3]) {
    const total = content + 1 + extra;
    if (total < 2 ** (4 + 8 * extra)) return [(extra << 6) | (total & 0xf), ...bytesOf(total >>> 4, extra)];
  }
  throw new RangeError(`an AML package of ${content} bytes is too long`);
}

/** A name of up to four characters, A–Z, 0–9 and _ ; a leading backslash begins at the root. */
function nameString(name: string): Term {
  const root = name.startsWith('\\');
  const segment = root ? name.slice(1) : name;
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new RangeError(`${name} is no name segment of AML`);
  return [...(root ? [0x5c] : []), ...ascii(segment.padEnd(4, '_'))];
}

const ascii = (text: string): Term => [...text].map(character => character.charCodeAt(0));

/** An integer of up to 32 bits, in its shortest form. */
export function integer(value: number): Term {
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value <= 0xff) return [BYTE_PREFIX, value];
  if (value <= 0xffff) return [WORD_PREFIX, ...bytesOf(value, 2)];
  return [DWORD_PREFIX, ...bytesOf(value, 4)];
}

/** An ASCII string without NUL. */
export function string(text: string): Term {
  return [STRING_PREFIX, ...ascii(text), 0];
}

/** EisaId(): three letters and four hexadecimal digits as a compressed number. */
export function eisaId(id: string): Term {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`${id} is no EISA identifier`);
  const [a = 0, b = 0, c = 0] = ascii(id).map(code => code - 0x40);
  const letters = (a << 10) | (b << 5) | c;
  const product = Number.parseInt(id.slice(3), 16);
  return [DWORD_PREFIX, letters >> 8, letters & 0xff, product >> 8, product & 0xff];
}

export function named(name: string, value: Term): Term {
  return [NAME_OP, ...nameString(name), ...value];
}

export function scope(name: string, terms: readonly Term[]): Term {
  const content = [...nameString(name), ...terms.flat()];
  return [SCOPE_OP, ...packageLength(content.length), ...content];
}

export function device(name: string, terms: readonly Term[]): Term {
  const content = [...nameString(name), ...terms.flat()];
  return [EXTENDED, DEVICE_OP, ...packageLength(content.length), ...content];
}

/** Package(): at most 255 elements. */
export function package_(elements: readonly Term[]): Term {
  const content = [elements.length, ...elements.flat()];
  return [PACKAGE_OP, ...packageLength(content.length), ...content];
}

/** ResourceTemplate(): the descriptors and the end tag, whose checksum 0 means "not checked". */
export function resources(descriptors: readonly Term[]): Term {
  const bytes = [...descriptors.flat(), 0x79, 0];
  const content = [...integer(bytes.length), ...bytes];
  return [BUFFER_OP, ...packageLength(content.length), ...content];
}

/** Memory32Fixed(ReadWrite, base, size). */
export function memory32(base: number, size: number): Term {
  return [0x86, 9, 0, 1, ...bytesOf(base, 4), ...bytesOf(size, 4)];
}

/** Interrupt(ResourceConsumer, Edge, ActiveHigh, Exclusive) { irq }: an irqfd's pulse is an edge. */
export function interrupt(irq: number): Term {
  return [0x89, 6, 0, 0b0011, 1, ...bytesOf(irq, 4)];
}

/** IO(Decode16, base, base, 1, length). */
export function ports(base: number, length: number): Term {
  return [0x47, 1, ...bytesOf(base, 2), ...bytesOf(base, 2), 1, length];
}

// Turns a layout's description into functions: straight-line DataView code made with `new Function`, or, where the process
// forbids code from strings (--disallow-code-generation-from-strings), closures that walk the description. Runs on every
// thread; pure. Both check the whole value before the first store, and read each property of it exactly once: a getter
// cannot show one value to the check and another to the store.

import { invalidType, outOfRange } from './errors.ts';
import type { StoreTarget } from './layout-scalar.ts';

export interface ScalarSpec {
  readonly kind: 'scalar';
  readonly name: string;
  readonly size: number;
  /** DataView's `get…` / `set…`. */
  readonly accessor: string;
  readonly littleEndian: boolean;
  /** Without the byte order. */
  readonly type: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64' | 'f32' | 'f64';
  /** Returns the value to store (64-bit: as bigint) or throws an error that names `path`. */
  readonly check: (value: unknown, path: string) => number | bigint;
}

export type Spec =
  | ScalarSpec
  | { readonly kind: 'padding'; readonly name: string; readonly size: number }
  | {
      readonly kind: 'array';
      readonly name: string;
      readonly size: number;
      readonly element: Spec;
      readonly length: number;
    }
  | {
      readonly kind: 'struct';
      readonly name: string;
      readonly size: number;
      readonly fields: readonly { readonly name: string; readonly spec: Spec }[];
    };

/** What a layout is compiled to. Values are `any` in all but name: the static types are Layout's. */
export interface Program {
  readonly read: (view: DataView, offset: number) => unknown;
  readonly write: (view: DataView, offset: number, value: unknown) => void;
  readonly load: (from: StoreTarget, at: number) => unknown;
  readonly store: (to: StoreTarget, at: number, value: unknown) => void;
}

/** The path of a property, as JavaScript would write it. */
export function fieldPath(base: string, name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `${base}.${name}` : `${base}[${JSON.stringify(name)}]`;
}

export function compile(spec: Spec): Program {
  let access: Pick<Program, 'read' | 'write'>;
  try {
    access = generate(spec);
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    access = interpret(spec);
  }
  const { read, write } = access;
  return { read, write, load: (from, at) => read(from.view, at), store: (to, at, value) => write(to.view, at, value) };
}

function checkObject(value: unknown, path: string): asserts value is Record<string, unknown> {
  if (value === null || typeof value !== 'object') throw invalidType(path, 'an object', value);
}

function checkList(value: unknown, length: number, path: string): asserts value is ArrayLike<unknown> {
  if (value === null || typeof value !== 'object') throw invalidType(path, 'an array', value);
  const actual: unknown = (value as { length?: unknown }).length;
  if (typeof actual !== 'number') throw invalidType(path, 'an array', value);
  if (actual !== length) throw outOfRange(`${path}.length`, String(length), actual);
}

// ── Generated code ─────────────────────────────────────────────────────────────────────────────────────────────────────
// SAFETY of the generated source: the only parts of it that come from outside are field names, and those appear only
// through JSON.stringify, as string literals. Everything else is from our own tables and integers.

class Writer {
  readonly checks: string[] = [];
  readonly stores: string[] = [];
  readonly scalars: ScalarSpec['check'][] = [];
  #names = 0;

  name(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  /**
   * Emits the checks of `spec` at the JavaScript expression `value`, and its stores at the offset expression `at`. `path` is an
   * expression too, evaluated only for an error. In an array, checked values wait in `list` until everything was checked.
   */
  emit(spec: Spec, value: string, path: string, at: string, list: string | undefined): void {
    if (spec.kind === 'padding') return;
    if (spec.kind === 'scalar') {
      this.#scalar(spec, value, path, at, list);
      return;
    }
    const held = this.name('h');
    this.checks.push(`const ${held} = ${value};`);
    if (spec.kind === 'struct') {
      this.checks.push(`if (${held} === null || typeof ${held} !== 'object') object(${held}, ${path});`);
      let offset = 0;
      for (const field of spec.fields) {
        const step = JSON.stringify(fieldPath('', field.name));
        this.emit(field.spec, `${held}[${JSON.stringify(field.name)}]`, `${path} + ${step}`, `${at} + ${offset}`, list);
        offset += field.spec.size;
      }
      return;
    }
    const index = this.name('i');
    const own = list ?? this.name('l');
    if (list === undefined) {
      this.checks.push(`const ${own} = []; let ${own}n = 0;`);
    }
    this.checks.push(`list(${held}, ${spec.length}, ${path});`);
    const loop = `for (let ${index} = 0; ${index} < ${spec.length}; ${index}++) {`;
    this.checks.push(loop);
    this.stores.push(loop);
    this.emit(
      spec.element,
      `${held}[${index}]`,
      `${path} + '[' + ${index} + ']'`,
      `${at} + ${index} * ${spec.element.size}`,
      own,
    );
    this.checks.push('}');
    this.stores.push('}');
  }

  #scalar(spec: ScalarSpec, value: string, path: string, at: string, list: string | undefined): void {
    const held = this.name('v');
    const check = `check${this.scalars.length}`;
    this.scalars.push(spec.check);
    this.checks.push(`let ${held} = ${value};`);
    // The common case is decided here; the check function normalises a number for a 64-bit field, or throws.
    this.checks.push(`if (!(${inlineTest(spec, held)})) ${held} = ${check}(${held}, ${path});`);
    if (list !== undefined) this.checks.push(`${list}.push(${held});`);
    const stored = list === undefined ? held : `${list}[${list}n++]`;
    this.stores.push(`view.set${spec.accessor}(${at}, ${stored}, ${spec.littleEndian});`);
  }
}

function inlineTest(spec: ScalarSpec, v: string): string {
  const integer = (min: number, max: number) =>
    `typeof ${v} === 'number' && ${v} >= ${min} && ${v} <= ${max} && Number.isInteger(${v})`;
  switch (spec.type) {
    case 'u64':
      return `typeof ${v} === 'bigint' && BigInt.asUintN(64, ${v}) === ${v}`;
    case 'i64':
      return `typeof ${v} === 'bigint' && BigInt.asIntN(64, ${v}) === ${v}`;
    case 'f32':
    case 'f64':
      return `typeof ${v} === 'number'`;
    default: {
      const bits = spec.size * 8;
      return spec.type.startsWith('u') ? integer(0, 2 ** bits - 1) : integer(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1);
    }
  }
}

class Reader {
  #names = 0;

  /** Statements to run first, and the expression that then is the value. */
  emit(spec: Spec, at: string, before: string[]): string {
    switch (spec.kind) {
      case 'padding':
        return 'undefined';
      case 'scalar':
        return `view.get${spec.accessor}(${at}, ${spec.littleEndian})`;
      case 'struct': {
        let offset = 0;
        const parts: string[] = [];
        for (const { name, spec: field } of spec.fields) {
          const position = `${at} + ${offset}`;
          offset += field.size;
          if (field.kind === 'padding') continue;
          // `{ "__proto__": x }` would set the prototype; a computed name makes a property, but a slower literal.
          const key = name === '__proto__' ? '["__proto__"]' : JSON.stringify(name);
          parts.push(`${key}: ${this.emit(field, position, before)}`);
        }
        return `{ ${parts.join(', ')} }`;
      }
      case 'array': {
        const list = `a${this.#names}`;
        const index = `i${this.#names++}`;
        const inner: string[] = [];
        const value = this.emit(spec.element, `${at} + ${index} * ${spec.element.size}`, inner);
        before.push(`const ${list} = [];`, `for (let ${index} = 0; ${index} < ${spec.length}; ${index}++) {`);
        before.push(...inner, `${list}.push(${value});`, '}');
        return list;
      }
    }
  }
}

function generate(spec: Spec): Pick<Program, 'read' | 'write'> {
  const before: string[] = [];
  const value = new Reader().emit(spec, 'offset', before);
  const read = new Function(
    'view',
    'offset',
    `'use strict'; ${before.join('\n')}\nreturn ${value};`,
  ) as Program['read'];
  const writer = new Writer();
  writer.emit(spec, 'value', "'value'", 'offset', undefined);
  const checks = writer.scalars.map((_check, index) => `check${index}`);
  const body = [...writer.checks, ...writer.stores].join('\n');
  const make = new Function(
    'object',
    'list',
    ...checks,
    `'use strict'; return (view, offset, value) => {\n${body}\n};`,
  );
  return { read, write: make(checkObject, checkList, ...writer.scalars) as Program['write'] };
}

// ── Closures ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The same without code from strings: slower, same results. Exported for the test that compares the two. */
export function interpret(spec: Spec): Pick<Program, 'read' | 'write'> {
  return {
    read: (view, offset) => decode(spec, view, offset),
    write(view, offset, value) {
      const checked: (number | bigint)[] = [];
      gather(spec, value, 'value', checked);
      encode(spec, view, offset, checked, { next: 0 });
    },
  };
}

type Getter = (this: DataView, offset: number, littleEndian: boolean) => number | bigint;
type Setter = (this: DataView, offset: number, value: number | bigint, littleEndian: boolean) => void;

function accessor<T>(prefix: 'get' | 'set', spec: ScalarSpec): T {
  // SAFETY: the accessor names come from our own table and are methods of every DataView.
  return (DataView.prototype as unknown as Record<string, T>)[prefix + spec.accessor] as T;
}

function decode(spec: Spec, view: DataView, at: number): unknown {
  switch (spec.kind) {
    case 'padding':
      return undefined;
    case 'scalar':
      return accessor<Getter>('get', spec).call(view, at, spec.littleEndian);
    case 'array':
      return Array.from({ length: spec.length }, (_none, index) =>
        decode(spec.element, view, at + index * spec.element.size),
      );
    case 'struct': {
      const result: Record<string, unknown> = {};
      let offset = at;
      for (const { name, spec: field } of spec.fields) {
        if (field.kind !== 'padding') {
          const value = decode(field, view, offset);
          Object.defineProperty(result, name, { value, enumerable: true, configurable: true, writable: true });
        }
        offset += field.size;
      }
      return result;
    }
  }
}

function gather(spec: Spec, value: unknown, path: string, into: (number | bigint)[]): void {
  switch (spec.kind) {
    case 'padding':
      return;
    case 'scalar':
      into.push(spec.check(value, path));
      return;
    case 'array':
      checkList(value, spec.length, path);
      for (let index = 0; index < spec.length; index++) gather(spec.element, value[index], `${path}[${index}]`, into);
      return;
    case 'struct':
      checkObject(value, path);
      for (const { name, spec: field } of spec.fields) {
        if (field.kind !== 'padding') gather(field, value[name], fieldPath(path, name), into);
      }
  }
}

function encode(
  spec: Spec,
  view: DataView,
  at: number,
  from: readonly (number | bigint)[],
  cursor: { next: number },
): void {
  switch (spec.kind) {
    case 'padding':
      return;
    case 'scalar':
      accessor<Setter>('set', spec).call(view, at, from[cursor.next++] as number | bigint, spec.littleEndian);
      return;
    case 'array':
      for (let index = 0; index < spec.length; index++)
        encode(spec.element, view, at + index * spec.element.size, from, cursor);
      return;
    case 'struct': {
      let offset = at;
      for (const { spec: field } of spec.fields) {
        encode(field, view, offset, from, cursor);
        offset += field.size;
      }
    }
  }
}

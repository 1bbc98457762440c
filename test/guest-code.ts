// Guest programs as bytes: one array per instruction, with the instruction beside it as a comment, and labels so that a
// jump's distance is counted by the machine and not by hand. Not an assembler: it knows no instruction. Pure.

/** A place in the code that jumps name. Takes no bytes. */
interface Label {
  readonly label: string;
}

/** The signed distance from the end of these `size` bytes to a label: what a relative jump's operand is. */
interface Distance {
  readonly to: string;
  readonly size: 1 | 4;
}

type Part = readonly number[] | Label | Distance;

/** `at('again')`: the instruction that follows is called so. */
export const at = (label: string): Label => ({ label });

/** The operand of a short jump (`eb`, `7x`, `e2`, …). */
export const rel8 = (to: string): Distance => ({ to, size: 1 });

/** The operand of a near jump or call (`e9`, `e8`, `0f 8x`). */
export const rel32 = (to: string): Distance => ({ to, size: 4 });

/** `size` bytes of a number, the lowest first: the operand of an instruction. */
function littleEndian(value: number | bigint, size: number): number[] {
  return Array.from({ length: size }, (_, index) => Number((BigInt(value) >> BigInt(8 * index)) & 0xffn));
}

export const le16 = (value: number): number[] => littleEndian(value, 2);
export const le32 = (value: number): number[] => littleEndian(value, 4);
export const le64 = (value: number | bigint): number[] => littleEndian(value, 8);

/** Puts the parts together. Throws for a label that is missing or too far away. */
export function code(...parts: readonly Part[]): Uint8Array {
  const labels = new Map<string, number>();
  let length = 0;
  for (const part of parts) {
    if ('label' in part) labels.set(part.label, length);
    else length += 'to' in part ? part.size : part.length;
  }
  const bytes: number[] = [];
  for (const part of parts) {
    if ('label' in part) continue;
    if (!('to' in part)) {
      bytes.push(...part);
      continue;
    }
    const target = labels.get(part.to);
    if (target === undefined) throw new Error(`no label '${part.to}'`);
    const distance = target - (bytes.length + part.size);
    if (part.size === 1 && (distance < -128 || distance > 127)) throw new Error(`'${part.to}' is ${distance} bytes away`);
    bytes.push(...littleEndian(distance, part.size));
  }
  return Uint8Array.from(bytes);
}

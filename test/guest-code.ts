// Guest programs as bytes: one array per instruction, with the instruction beside it as a comment, and labels so that a
// jump's distance is counted by the machine and not by hand. Not an assembler: it knows no instruction. Pure.

/** A place in the code that jumps name. Takes no bytes. */
interface Label {
  readonly label: string;
}

/** An instruction that jumps: its opcode, and a byte with the signed distance from its end to a label. */
interface Jump {
  readonly opcode: number;
  readonly to: string;
}

type Part = readonly number[] | Label | Jump;

/** `at('again')`: the instruction that follows is called so. */
export const at = (label: string): Label => ({ label });

/** A short jump with this opcode: `eb` jmp, `74` jz, `75` jnz, `e2` loop. */
export const jump = (opcode: number, to: string): Jump => ({ opcode, to });

/** Bytes of a short jump. */
const JUMP_SIZE = 2;

/** A number as four bytes, the lowest first: the operand of an instruction. */
export function le32(value: number): number[] {
  return [0, 8, 16, 24].map(shift => (value >>> shift) & 0xff);
}

/** Puts the parts together. Throws for a label that is missing or too far away. */
export function code(...parts: readonly Part[]): Uint8Array {
  const labels = new Map<string, number>();
  let length = 0;
  for (const part of parts) {
    if ('label' in part) labels.set(part.label, length);
    else length += 'to' in part ? JUMP_SIZE : part.length;
  }
  const bytes: number[] = [];
  for (const part of parts) {
    if ('label' in part) continue;
    if ('to' in part) bytes.push(part.opcode, distance(part.to, labels.get(part.to), bytes.length + JUMP_SIZE));
    else bytes.push(...part);
  }
  return Uint8Array.from(bytes);
}

function distance(label: string, target: number | undefined, from: number): number {
  if (target === undefined) throw new Error(`no label '${label}'`);
  const bytes = target - from;
  if (bytes < -128 || bytes > 127) throw new Error(`'${label}' is ${bytes} bytes away`);
  return bytes & 0xff;
}

// Which little-endian scalars readObj and writeObj handle without calling the layout: the numbers that Span switches on. Pure.
// A file without imports, because the bundler only then puts the numbers in place of the names, and V8 needs numbers for a
// switch that is a jump.

/** Every other layout. */
export const OTHER = 0;
export const U8 = 1;
export const U16 = 2;
export const U32 = 3;
export const I32 = 4;
export const U64 = 5;
export const F64 = 6;

export type ScalarCode = 0 | 1 | 2 | 3 | 4 | 5 | 6;

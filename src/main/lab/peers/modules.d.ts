// What esbuild makes of an import that is no code of this program. Types alone.

/** A Rust program as it is: `with { type: 'text' }`. */
declare module '*.rs' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: that is how esbuild exports text.
  export default text;
}

// What esbuild makes of imports that are no code of the program: build.mjs has the rules. Types alone.

/** A file as it is: `with { type: 'text' }`. */
declare module '*.html' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: that is how esbuild exports text.
  export default text;
}

/** A script for browsers, bundled into one text. */
declare module '*?browser' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: that is how esbuild exports text.
  export default text;
}

/** A style sheet as it is: `with { type: 'text' }`. */
declare module '*.css' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: that is how esbuild exports text.
  export default text;
}

/** A licence that asks to be where its program is: `with { type: 'text' }`. */
declare module 'uplot/LICENSE' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: that is how esbuild exports text.
  export default text;
}

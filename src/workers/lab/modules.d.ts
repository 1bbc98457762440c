// What the build makes of imports that are no code of the program (build.mjs has the rule). Types alone.

/** WebAssembly text, assembled: the module's bytes. */
declare module '*.wat?wasm' {
  const bytes: Uint8Array;
  // biome-ignore lint/style/noDefaultExport: that is how esbuild exports bytes.
  export default bytes;
}

// Builds everything and runs the project's jobs: `node build.mjs <job> [args]`. Needs Node, npm and a C++ toolchain only.
// This file imports nothing but Node's own modules at the top, because it also installs node_modules on a fresh clone.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
process.chdir(root);

/** Runs a program with our terminal; resolves when it ends with 0. */
function run(command, args, { env = {}, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      env: { ...process.env, ...env },
    });
    let output = '';
    child.stdout?.on('data', data => (output += data));
    child.stderr?.on('data', data => (output += data));
    child.on('error', error => reject(new Error(`${command}: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(output);
      const message = `${quiet ? output : ''}${command} ${args.join(' ')} ended with ${signal ?? code}`;
      // 2 is wrong usage, or something missing on the machine: it stays 2.
      reject(Object.assign(new Error(message), { exitStatus: code === 2 ? 2 : 1 }));
    });
  });
}

const node = (script, args = [], options = {}) => run(process.execPath, [script, ...args], options);
const bin = (name, args = [], options = {}) => node(realpathSync(join('node_modules/.bin', name)), args, options);

function walk(folder, keep) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(keep)
    .sort();
}

/** Installs the dependencies of a fresh clone. */
async function install() {
  if (existsSync('node_modules/.package-lock.json')) return;
  console.error('build: installing dependencies (npm ci)');
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** npm's own node-gyp: `npm run` names it; without npm run it lies beside npm. */
function nodeGyp() {
  const named = process.env['npm_config_node_gyp'];
  if (named && existsSync(named)) return named;
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    const npm = join(folder, 'npm');
    if (!existsSync(npm)) continue;
    const candidate = join(dirname(realpathSync(npm)), '../node_modules/node-gyp/bin/node-gyp.js');
    if (existsSync(candidate)) return candidate;
  }
  throw new Error("node-gyp was not found beside npm: run this through 'npm run build'");
}

/** One native build at a time: two in one folder break each other. A lock whose owner is gone is taken over. */
async function withLock(path, body) {
  mkdirSync(dirname(path), { recursive: true });
  for (let announced = false; ; ) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (owner !== '' && !existsSync(`/proc/${owner}`)) rmSync(path, { force: true });
    else {
      if (!announced) console.error(`build: waiting for another build (process ${owner})`);
      announced = true;
      await new Promise(resolve => setTimeout(resolve, 200));
    }
  }
  try {
    return await body();
  } finally {
    rmSync(path, { force: true });
  }
}

/** node-gyp on the binding.gyp in `directory`, with Node's own headers where they are installed beside it. */
async function buildAddon(directory, env = {}) {
  const prefix = join(dirname(process.execPath), '..');
  if (!process.env['npm_config_nodedir'] && existsSync(join(prefix, 'include/node/node_api.h')))
    env = { ...env, npm_config_nodedir: prefix };
  const verbose = process.env['VERBOSE'] === '1';
  const args = ['configure', 'build', '--directory', directory, '--jobs', 'max', verbose ? '--verbose' : '--silent'];
  await node(nodeGyp(), args, { env, quiet: !verbose });
}

/** The litmus programs in C and as WebAssembly text, from the tests' data: for native/lab/litmus.c and src/workers/lab/wasm-litmus.ts. */
async function writeLitmusPrograms() {
  const { build } = await import('esbuild');
  const options = { bundle: true, format: 'esm', write: false };
  const { outputFiles } = await build({ ...options, entryPoints: ['shared/lab/litmus-code.ts'] });
  const code = Buffer.from(outputFiles[0].contents).toString('base64');
  const { litmusHeader, litmusWat } = await import(`data:text/javascript;base64,${code}`);
  for (const [path, text] of [
    ['native/lab/litmus_programs.h', litmusHeader()],
    ['src/workers/lab/litmus.wat', litmusWat()],
  ]) {
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    const unfinished = `${path}.${process.pid}`;
    writeFileSync(unfinished, text);
    renameSync(unfinished, path);
  }
}

/** KVM's constants and struct offsets from the kernel headers, then the addon. Skipped when no input changed. */
async function buildNative() {
  await writeLitmusPrograms();
  const inputs = walk('native', file => /\.(cc|c|h|gyp|S)$/.test(file) && !file.startsWith('native/build'));
  const hash = createHash('sha256').update(process.version).update(process.arch);
  for (const file of inputs) hash.update(file).update(readFileSync(file));
  const stamp = hash.digest('hex');
  const addon = 'prebuilds/linux-x64/node.napi.glibc.node';
  const abi = 'shared/generated/kvm-abi.ts';
  if (
    existsSync(addon) &&
    existsSync(abi) &&
    existsSync('build/native.stamp') &&
    readFileSync('build/native.stamp', 'utf8') === stamp
  )
    return;

  mkdirSync('build', { recursive: true });
  mkdirSync('shared/generated', { recursive: true });
  const cxx = process.env['CXX'] ?? 'g++';
  console.error('build: KVM ABI from the kernel headers');
  await run(cxx, [
    '-std=c++20',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-Inative',
    '-o',
    'build/kvm-abi',
    ...walk('native/gen', file => file.endsWith('.cc')),
  ]);
  writeFileSync(abi, await run('build/kvm-abi', [], { quiet: true }));

  console.error('build: native addon');
  await buildAddon('native');
  mkdirSync(dirname(addon), { recursive: true });
  cpSync('native/build/Release/node_kvm.node', addon);
  await run('strip', ['--strip-unneeded', addon]);
  writeFileSync('build/native.stamp', stamp);
}

/** `import text from './script.ts?browser'`: the script, bundled for browsers, as text for a page that holds it. */
const browserScripts = {
  name: 'browser-scripts',
  setup({ onLoad, esbuild }) {
    onLoad({ filter: /\.ts$/ }, async ({ path, suffix }) => {
      if (suffix !== '?browser') return undefined;
      const options = { bundle: true, format: 'iife', target: 'es2022', minify: true, charset: 'utf8', write: false };
      const { outputFiles } = await esbuild.build({ ...options, entryPoints: [path] });
      return { contents: outputFiles[0].text, loader: 'text' };
    });
  },
};

/** `import bytes from './kernels.wat?wasm'`: WebAssembly text, assembled into the module's bytes. */
const wasmTexts = {
  name: 'wasm-texts',
  setup({ onLoad }) {
    const features = { simd: true, threads: true, bulk_memory: true, multi_value: true };
    onLoad({ filter: /\.wat$/ }, async ({ path, suffix }) => {
      if (suffix !== '?wasm') return undefined;
      const { default: wabt } = await import('wabt');
      const module = (await wabt()).parseWat(relative(root, path), readFileSync(path, 'utf8'), features);
      try {
        module.validate(features);
        return { contents: module.toBinary({}).buffer, loader: 'binary' };
      } finally {
        module.destroy();
      }
    });
  },
};

const bundling = {
  plugins: [browserScripts, wasmTexts],
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  packages: 'external',
  sourcemap: 'linked',
  // Puts the values of exported constants in place of their names, which V8 would load and check at each use.
  minifySyntax: true,
  logLevel: 'warning',
  write: false,
};

/** Writes what changed and removes what is gone: a program that runs meanwhile never finds its files missing. */
function publish(folder, outputs, keep = () => false) {
  const wanted = new Map(outputs.map(file => [relative(root, file.path), file.contents]));
  for (const [path, contents] of wanted) {
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  for (const file of walk(folder, name => /\.js(\.map)?$/.test(name))) {
    if (!wanted.has(file) && !keep(file)) rmSync(file);
  }
}

/** dist/: the library, the command and the workers, each bundled; and the CommonJS door to the same modules. */
async function buildTs() {
  await writeLitmusPrograms();
  const { build } = await import('esbuild');
  const workers = walk('src/workers', file => /-(worker|device)\.ts$/.test(file));
  const named = files =>
    Object.fromEntries(files.map(file => [`workers/${relative('src/workers', file).replace(/\.ts$/, '')}`, file]));
  // Pieces that everything shares would be dozens of files. What every VM with a Linux guest starts with is put together from few: each file that a thread
  // loads delays the guest's first instruction.
  const boot = workers.filter(file => /\/(vcpu-worker|serial-device)\.ts$/.test(file));
  const parts = [
    { index: 'src/main/index.ts', cli: 'src/main/cli/cli.ts' },
    named(boot),
    named(workers.filter(file => !boot.includes(file))),
  ];
  const built = await Promise.all(
    parts.map(entryPoints =>
      build({ ...bundling, entryPoints, outdir: 'dist', splitting: true, chunkNames: 'chunk-[hash]' }),
    ),
  );
  const outputFiles = built.flatMap(part => part.outputFiles);
  publish('dist', outputFiles, file => file.startsWith('dist/cjs/'));
  chmodSync('dist/cli.js', 0o755);
  // Node >= 20.19 can require() an ES module: CommonJS users get the very same instance, so state is never doubled.
  mkdirSync('dist/cjs', { recursive: true });
  writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n');
  writeFileSync('dist/cjs/index.js', "'use strict';\nmodule.exports = require('../index.js');\n");
}

/** Declarations, twice: TypeScript reads a package's CommonJS types as CommonJS only from a folder that says so. */
async function buildTypes() {
  rmSync('dist/types', { recursive: true, force: true });
  await bin('tsc', ['-p', 'tsconfig.types.json']);
  for (const file of walk('dist/types', name => name.endsWith('.d.ts'))) {
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace(/(from\s+|import\()(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, '$1$2$3.js$2'),
    );
  }
  cpSync('dist/types', 'dist/cjs/types', { recursive: true });
}

/** The freestanding guest of the examples, tests and benchmarks. */
async function buildGuest() {
  const { buildGuest: compile } = await import('./examples/guest/build.mjs');
  await compile(join(root, 'build/guest'));
}

/** The lab's guest: the C kernels of the addon, compiled once more for a machine without a library. Unlike the examples' guest it may use SSE2. */
async function buildLabGuest() {
  await writeLitmusPrograms();
  const target = 'dist/lab/guest.elf';
  const inputs = walk('native/lab', () => true);
  const built = statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  // This file has the flags.
  if ([...inputs, 'build.mjs'].every(file => statSync(file).mtimeMs < built)) return;
  mkdirSync(dirname(target), { recursive: true });
  const unfinished = `${target}.${process.pid}`;
  await run(process.env['CXX'] ?? 'g++', [
    ...['-std=c11', '-O3', '-fno-strict-aliasing', '-Wall', '-Wextra', '-Werror', '-Inative'],
    ...[
      '-ffreestanding',
      '-nostdlib',
      '-static',
      '-fno-pie',
      '-no-pie',
      '-fno-stack-protector',
      '-fcf-protection=none',
    ],
    // Loops stay loops: a memset that the compiler finds in one would have to be brought along. As aligned as in the addon: see binding.gyp.
    ...['-falign-loops=64', '-mno-red-zone', '-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns'],
    ...['-Wl,--build-id=none', '-Wl,-z,max-page-size=4096', '-T', 'native/lab/guest.ld', '-o', unfinished],
    ...inputs.filter(file => file.endsWith('.c')).flatMap(file => ['-x', 'c', file]),
    ...['-x', 'assembler-with-cpp', 'native/lab/start.S'],
  ]);
  renameSync(unfinished, target);
}

/** Programs for Linux guests, of the examples and the tests, and the emulated machine's: one C file each, static, so that they run on any initrd. */
async function buildLinuxPrograms() {
  mkdirSync('build/linux', { recursive: true });
  for (const source of ['examples/linux', 'test/linux/programs', 'test/machine/programs'].flatMap(folder =>
    walk(folder, name => name.endsWith('.c')),
  )) {
    const target = join('build/linux', basename(source, '.c'));
    const built = statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if ([source, 'build.mjs'].every(file => statSync(file).mtimeMs < built)) continue;
    const unfinished = `${target}.${process.pid}`;
    await run(process.env['CC'] ?? 'gcc', [
      ...['-std=gnu11', '-O2', '-static', '-pthread', '-s', '-Wall', '-Wextra', '-Werror', '-o', unfinished, source],
    ]);
    renameSync(unfinished, target);
  }
}

/**
 * Programs that import 'node-kvm' like a user's: examples, benchmarks, tests. Bundled one by one into build/, each test with uvu: a test
 * file is a process of its own, and in the emulated machine every module that it loads costs a tenth of a second.
 */
async function buildPrograms(folders) {
  const { build } = await import('esbuild');
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const packages = Object.keys({ ...dependencies, ...devDependencies }).filter(name => name !== 'uvu');
  for (const folder of folders) {
    const entryPoints = walk(folder, file => file.endsWith('.ts') && !file.endsWith('.d.ts'));
    const { outputFiles } = await build({
      ...bundling,
      entryPoints,
      outdir: 'build',
      outbase: '.',
      packages: 'bundle',
      external: ['node-kvm', ...packages],
    });
    publish(`build/${folder}`, outputFiles);
  }
}

async function buildAll() {
  await withLock('build/native.lock', () => buildNative());
  await buildTs();
  await buildGuest();
  await buildLabGuest();
}

async function typecheck() {
  await bin('tsc', ['-p', 'tsconfig.json', '--noEmit']);
  for (const page of ['heat-page', 'bench-page']) await bin('tsc', ['-p', `src/main/cli/${page}`]);
}
const lint = () => run(join('node_modules/.bin', 'biome'), ['check', '.']);

const jobs = {
  install: () => {},
  native: () => withLock('build/native.lock', () => buildNative()),
  ts: () => buildTs(),
  async guest() {
    await buildGuest();
    await buildLabGuest();
  },
  typecheck,
  lint,
  async build() {
    await buildAll();
    await buildTypes();
  },
  async start(args) {
    await buildAll();
    await buildPrograms(['examples']);
    await buildLinuxPrograms();
    await node('build/examples/main-job.js', args);
  },
  async test(args) {
    await buildAll();
    await buildPrograms(['test', 'examples']);
    await buildLinuxPrograms();
    if (args.length === 0) await typecheck();
    await node('build/test/runner.js', args);
  },
  async bench([name, ...args]) {
    await buildAll();
    await buildPrograms(['bench']);
    await node(`build/bench/${name}.js`, args);
  },
  /** Boots of Linux; on an emulated machine where this one has no KVM for it. */
  async boot(args) {
    await buildAll();
    await buildPrograms(['bench', 'test', 'examples']);
    await buildLinuxPrograms();
    await node('build/bench/boot.js', args);
  },
  /** The lab, as `node-kvm bench` has it; the results stay in build/lab/ as well. */
  async lab(args) {
    await buildAll();
    mkdirSync('build/lab', { recursive: true });
    await node('dist/cli.js', ['bench', '--json', 'build/lab/report.json', '--html', 'build/lab/report.html', ...args]);
  },
  async soak([name, ...args]) {
    await buildAll();
    await buildPrograms(['test']);
    await node(`build/test/soak/${name}.js`, args);
  },
  async sanitize(args) {
    await buildAll();
    await buildPrograms(['test']);
    const { sanitize } = await import('./native/test/sanitize.mjs');
    await sanitize(args, { buildAddon });
  },
  async machine(args) {
    await buildAll();
    // With QEMU in the machine come the programs that are measured against it.
    await buildPrograms(['test', 'examples', ...(args.includes('--qemu') ? ['bench'] : [])]);
    await buildLinuxPrograms();
    await node('build/test/machine/run.js', args);
  },
  async package(args) {
    await buildAll();
    await buildTypes();
    await buildPrograms(['test', 'examples']);
    await node('build/test/package/check.js', args);
  },
  async docs() {
    await withLock('build/native.lock', () => buildNative());
    await bin('typedoc', []);
  },
};

const [job = 'build', ...args] = process.argv.slice(2);
if (!Object.hasOwn(jobs, job)) {
  console.error(`build: unknown job '${job}' (known: ${Object.keys(jobs).join(', ')})`);
  process.exit(2);
}
try {
  await install();
  await jobs[job](args);
} catch (error) {
  console.error(`build: ${error.message}`);
  process.exitCode = error.exitStatus ?? 1;
}

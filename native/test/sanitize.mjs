// `npm run test:sanitize`: the native code under the sanitizers. build.mjs calls it when the ordinary build is done.
//
// 1. The layers below Node-API (sys/, kvm/) in a program of their own: AddressSanitizer with LeakSanitizer and UBSan, then
//    ThreadSanitizer. Everything is instrumented, so these find all that they can find.
// 2. The addon with ASan and UBSan in an ordinary Node, which is not instrumented: libasan is preloaded; leaks are not looked for, because
//    LeakSanitizer would report Node's own; races would drown in V8's. It runs addon-exercise.mjs and the tests of the hazards.
// Any report fails the run: programs stop at the first, and reports of child processes are found in their log files.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const OUT = resolve('build/sanitize');
const REPORTS = join(OUT, 'reports');
const RUNTIME_OPTIONS = `halt_on_error=1:print_stacktrace=1:log_path=${REPORTS}/report`;

const cxx = process.env['CXX'] ?? 'g++';
const sources = folder =>
  readdirSync(join('native', folder))
    .filter(name => name.endsWith('.cc'))
    .map(name => join('native', folder, name));

/** Runs a command with its output on ours; rejects unless it ends with 0. */
function run(command, args, env = {}) {
  return new Promise((done, failed) => {
    const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
    child.on('error', error => failed(new Error(`${command}: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return done();
      failed(new Error(`${basename(command)} ${args.slice(0, 3).join(' ')} ended with ${signal ?? code}${reports()}`));
    });
  });
}

/** The sanitizers' log files, as text; empty when there are none. */
function reports() {
  return readdirSync(REPORTS)
    .map(name => `\n${readFileSync(join(REPORTS, name), 'utf8')}`)
    .join('');
}

function refuseReports() {
  const found = reports();
  if (found !== '') throw new Error(`a sanitizer reported:${found}`);
}

/** ThreadSanitizer of older compilers cannot place its shadow where newer kernels randomise addresses widely. */
function withoutRandomisation(command) {
  const works = spawnSync('setarch', ['-R', 'true']).status === 0;
  return works ? ['setarch', ['-R', command]] : [command, []];
}

async function standalone(name, flags) {
  const program = join(OUT, `native-tests-${name}`);
  console.log(`sanitize: sys/ and kvm/ under ${flags}`);
  await run(cxx, [
    ...['-std=c++20', '-O1', '-g', '-fno-omit-frame-pointer', '-fno-exceptions', '-Wall', '-Wextra', '-Werror', '-pthread'],
    ...[`-fsanitize=${flags}`, '-fno-sanitize-recover=all', '-Inative', '-o', program],
    ...['test', 'sys', 'kvm'].flatMap(sources),
  ]);
  const [command, args] = name === 'thread' ? withoutRandomisation(program) : [program, []];
  await run(command, args, {
    ASAN_OPTIONS: `detect_leaks=1:${RUNTIME_OPTIONS}`,
    UBSAN_OPTIONS: RUNTIME_OPTIONS,
    TSAN_OPTIONS: RUNTIME_OPTIONS,
  });
  refuseReports();
}

/** The addon of binding.gyp in a tree of its own, so that the ordinary build stays as it is. */
function copyAddon() {
  const tree = join(OUT, 'addon');
  for (const name of ['binding.gyp', 'binding', 'kvm', 'lab', 'sys'])
    cpSync(join('native', name), join(tree, name), { recursive: true });
  return tree;
}

/** Passes when `args` selected nothing, or something that `name` contains. */
const selected = (args, name) => args.length === 0 || args.some(part => name.includes(part));

/**
 * @param args parts to run, all of them when empty: 'address', 'thread', 'addon', 'hazards'.
 * @param buildAddon (folder, environment): runs node-gyp there.
 */
export async function sanitize(args, { buildAddon }) {
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(REPORTS, { recursive: true });
  const device = process.env['NODE_KVM_DEVICE'] ?? '/dev/kvm';
  console.log(`sanitize: ${existsSync(device) ? `with ${device}` : `without KVM (${device} is not there)`}`);

  if (selected(args, 'address')) await standalone('address', 'address,undefined');
  if (selected(args, 'thread')) await standalone('thread', 'thread');
  if (!selected(args, 'addon') && !selected(args, 'hazards')) return;

  const tree = copyAddon();
  console.log('sanitize: the addon under address,undefined');
  await buildAddon(tree, { GYP_DEFINES: 'sanitize=1' });
  const libasan = spawnSync(cxx, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim();
  const env = {
    LD_PRELOAD: libasan,
    ASAN_OPTIONS: `detect_leaks=0:${RUNTIME_OPTIONS}`,
    UBSAN_OPTIONS: RUNTIME_OPTIONS,
  };
  if (selected(args, 'addon')) {
    const addon = join(tree, 'build/Release/node_kvm.node');
    await run(process.execPath, ['--expose-gc', 'native/test/addon-exercise.mjs', addon], env);
    refuseReports();
  }
  if (selected(args, 'hazards') && existsSync('build/test/runner.js')) {
    console.log('sanitize: the hazard tests with that addon');
    // node-gyp-build looks here first: <NAME OF THE PACKAGE>_PREBUILD.
    const slowness = 5 * Number(process.env['TEST_SLOWNESS'] ?? 1);
    const tests = { ...env, NODE_KVM_PREBUILD: tree, TEST_TIMEOUT_SECONDS: '600', TEST_SLOWNESS: String(slowness) };
    await run(process.execPath, ['build/test/runner.js', 'native/', 'unit/native'], tests);
    refuseReports();
  }
  console.log('sanitize: no report');
}

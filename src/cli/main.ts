import { readFileSync } from 'node:fs';
import { UnusableFileError } from '../files/exposure.ts';
import { CommandError, type CommandIo, UsageError } from './terminal/command-line.ts';

const usage = `Usage: cpis <command> [options]

  serve                start the server
  migrate              copy a data folder into a MongoDB database
  registry check FILE  check a registry file before the server reads it
  keys                 show and change the keys of the server
  transfer             pass the plans of an authority to its successor (for operators)
  conflicts            list the children whose details differ between authorities (for operators)
  demo                 show the whole product on this machine, with synthetic data
  stand-in-pds         run a stand-in for the Personal Demographics Service on this machine
  audit                print or export who used the records, also for the person concerned (for auditors)
  verify-audit         check that such an export is unchanged

For local authorities:
  keygen               create a key for a client and print its public key for the registry
  submit PLANS.CSV     submit an extract of plans and write a result for each record
  receive              receive notifications: verify each one, store it once, find gaps, print each access
  verify-notification  check that a notification comes from the server and is unchanged

Run "cpis <command> --help" for the options of a command. See also docs/command-line.md.
`;

/** Loads and runs one command, so that its start does not wait for the code of the others. */
async function run(command: string | undefined, args: readonly string[], io: CommandIo): Promise<number> {
  switch (command) {
    case 'serve':
      return (await import('./serve.ts')).serve(args, io);
    case 'migrate':
      return (await import('./migrate.ts')).migrate(args, io);
    case 'transfer':
      return (await import('./transfer/transfer.ts')).transfer(args, io);
    case 'conflicts':
      return (await import('./conflicts.ts')).conflicts(args, io);
    case 'audit':
      return (await import('./audit/audit.ts')).audit(args, io);
    case 'verify-audit':
      return (await import('./audit/verify-audit.ts')).verifyAudit(args, io);
    case 'demo':
      return (await import('./demo/demo.ts')).demo(args, io);
    case 'stand-in-pds':
      return (await import('./stand-in-pds.ts')).standInPds(args, io);
    case 'registry':
      return (await import('./registry.ts')).registry(args, io);
    case 'keys':
      return (await import('./keys.ts')).keys(args, io);
    case 'keygen':
      return (await import('./keygen.ts')).keygen(args, io);
    case 'submit':
      return (await import('./submit/submit.ts')).submit(args, io);
    case 'receive':
      return (await import('./receive/receive.ts')).receive(args, io);
    case 'verify-notification':
      return (await import('./verify-notification.ts')).verifyNotificationCommand(args, io);
    case '--version':
      io.stdout.write(`${readVersion()}\n`);
      return 0;
    case 'help':
    case '--help':
    case undefined:
      io.stdout.write(usage);
      return 0;
    default:
      throw new UsageError('Unknown command.');
  }
}

const commandNames = [
  'serve',
  'registry',
  'keys',
  'migrate',
  'transfer',
  'conflicts',
  'audit',
  'verify-audit',
  'demo',
  'stand-in-pds',
  'keygen',
  'submit',
  'receive',
  'verify-notification',
];

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return String(version);
}

/** Runs one command and returns its exit code: 2 for wrong usage or settings. Rejects on an unexpected error. */
export async function runCommand([command, ...args]: readonly string[], io: CommandIo): Promise<number> {
  try {
    return await run(command, args, io);
  } catch (error) {
    if (error instanceof UsageError) {
      const help = commandNames.includes(command ?? '') ? `cpis ${command} --help` : 'cpis --help';
      io.stderr.write(`${error.message}\nRun "${help}" for usage.\n`);
      return 2;
    }
    if (error instanceof UnusableFileError) {
      io.stderr.write(`${error.message}\n`);
      return 2;
    }
    if (error instanceof CommandError) {
      io.stderr.write(`${error.message}\n`);
      return error.exitCode;
    }
    if (command !== 'serve' && error instanceof Error && 'syscall' in error) {
      // The message names the file that could not be created or written.
      io.stderr.write(`${error.message}\n`);
      return 1;
    }
    throw error;
  }
}

/** Runs one command in this process and sets its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  // Whatever a command creates, only its owner may read.
  process.umask(0o077);
  const exitCode = await runCommand(argv, process);
  if (exitCode !== 0) process.exitCode = exitCode;
}

import { CommandError, readArguments, UsageError } from './command-line.ts';

const usage = `Usage: cpis <command> [options]

  serve [--wait]       start the server; settings come from CPIS_ environment variables (docs/settings.md);
                       --wait: wait for a database that is not there yet
  migrate              copy a data folder into a MongoDB database; docs/mongodb.md
  demo [--exit]        show the whole product on this machine, on synthetic data

For local authorities:
  keygen               make a key for a client, print its public half for the registry
  submit PLANS.CSV     submit an extract of plans, write a result for each record
  receive              receive notifications: verify, store once, see gaps, print each access
  verify-notification  say whether a notification is the server's and unchanged

"cpis <command> --help" tells the options; docs/command-line.md the rest.
`;

/** Each command is loaded when it is called: the start of one does not wait for the code of the others. */
async function run(command: string | undefined, args: readonly string[]): Promise<void> {
  switch (command) {
    case 'serve': {
      const { serve } = await import('./serve.ts');
      return serve(args);
    }
    case 'migrate':
      return (await import('./migrate.ts')).migrate(args);
    case 'demo': {
      const { values } = readArguments(args, { exit: { type: 'boolean', default: false } });
      const { demo } = await import('./demo/demo.ts');
      return demo({ exitAtEnd: values.exit });
    }
    case 'keygen':
      return (await import('./keygen.ts')).keygen(args);
    case 'submit':
      return (await import('./submit/submit.ts')).submit(args);
    case 'receive':
      return (await import('./receive/receive.ts')).receive(args);
    case 'verify-notification':
      return (await import('./verify-notification.ts')).verifyNotificationCommand(args);
    case 'help':
    case '--help':
    case undefined:
      process.stdout.write(usage);
      return;
    default:
      throw new UsageError('There is no such command.');
  }
}

/** Runs one command of the command line. Sets the exit code: 2 for wrong usage or settings. */
export async function main(argv: readonly string[]): Promise<void> {
  const [command, ...args] = argv;
  try {
    await run(command, args);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}\n"cpis ${command ?? ''} --help" tells how it is used.\n`);
      process.exitCode = 2;
    } else if (error instanceof CommandError) {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = error.exitCode;
    } else if (command !== 'serve' && error instanceof Error && 'syscall' in error) {
      // A file that cannot be made or written: the message names it.
      process.stderr.write(`${error.message}\n`);
      process.exitCode = 1;
    } else throw error;
  }
}

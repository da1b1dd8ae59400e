import { parseArgs } from 'node:util';
import { serve } from './serve.ts';

const usage = `Usage: cpis <command>

  serve           start the server; settings come from CPIS_ environment variables (docs/settings.md)
  demo [--exit]   show the whole product on this machine, on synthetic data

`;

/** Runs one command of the command line. Sets the exit code: 2 for wrong usage or settings. */
export async function main(argv: readonly string[]): Promise<void> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'serve':
      return serve();
    case 'demo': {
      const { values } = parseArgs({ args: rest, options: { exit: { type: 'boolean', default: false } } });
      const { demo } = await import('./demo/demo.ts');
      return demo({ exitAtEnd: values.exit });
    }
    default:
      process.stderr.write(usage);
      process.exitCode = command === undefined || command === 'help' || command === '--help' ? 0 : 2;
  }
}

import { loadRegistry } from '../registry/open-registry.ts';
import { RegistryError } from '../registry/parse-registry.ts';
import { type CommandIo, readArguments, UsageError } from './terminal/command-line.ts';

const usage = `Usage: cpis registry check FILE [--allow-loopback-endpoints]

Checks a registry file as the server does at its start and at SIGHUP, and changes nothing. Prints each problem with its place:
line and column of a fault of JSON, or the entry and the member.

  --allow-loopback-endpoints  takes http origins on this machine, as CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS does

Exit status: 0 the file is valid, 1 it is not, 2 wrong usage.

A valid file may still be refused by a server whose store has plans, Subscriptions or owed notifications of an authority that
is missing in it.
`;

/** Runs `cpis registry`. */
export async function registry(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(
    args,
    { 'allow-loopback-endpoints': { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
    2,
  );
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  const [action, file] = positionals;
  if (action !== 'check' || file === undefined) throw new UsageError('Give: check FILE.');
  try {
    const { organisations, clients } = loadRegistry(file, Date.now(), {
      allowLoopback: values['allow-loopback-endpoints'],
    });
    stdout.write(`${file} is valid: ${organisations.size} organisations, ${clients.size} clients.\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    stderr.write(`${error.message}\n`);
    return 1;
  }
}

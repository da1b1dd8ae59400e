import closeWithGrace from 'close-with-grace';
import { FhirFault } from '../fhir/fault.ts';
import { UnusableFileError } from '../files/exposure.ts';
import { describeFileFailure } from '../files/file-failure.ts';
import { RegistryError } from '../registry/parse-registry.ts';
import { buildLogger } from '../server/logger.ts';
import { openServer } from '../server/open-server.ts';
import { loadSettings, SettingsError } from '../settings/settings.ts';
import { StoreStartError } from '../store/store-start-error.ts';
import { type CommandIo, readArguments } from './terminal/command-line.ts';

const usage = `Usage: cpis serve [--wait]

Starts the server and runs until SIGINT or SIGTERM. SIGHUP reloads the registry, the signing keys and the TLS
files. Settings come from CPIS_ environment variables (docs/settings.md).

  --wait  wait for a database that cannot be reached yet

Exit status: 0 stopped, 1 failed, 2 wrong usage, settings or registry, or a file cannot be used.
`;

/** How long open requests and sends may take to end after SIGTERM. */
const closeTimeoutMs = 15_000;

/**
 * Runs `cpis serve`. Resolves when the server listens. Returns 2, and prints every problem, if the settings or the
 * registry are wrong or the store cannot be opened.
 */
export async function serve(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    wait: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  try {
    const settings = loadSettings(process.env);
    const logger = buildLogger({ level: settings.logLevel });
    const server = await openServer(settings, {
      logger,
      onFatal(error) {
        logger.fatal(
          { err: error },
          'the store failed with an I/O error; the server stops so that a restart can open the store again',
        );
        process.exitCode = 1;
        setTimeout(() => process.exit(1), 100);
      },
      waitForStore: values.wait,
    });
    logger.info({ listening: server.origin, baseUrl: server.baseUrl }, 'ready');
    process.on('SIGHUP', async () => {
      const tlsProblems = server.reloadTls();
      if (tlsProblems.length > 0) {
        logger.error({ problems: tlsProblems }, 'the TLS files have problems: the server keeps those it has');
      }
      try {
        const problems = await server.reloadSigningKeys();
        if (problems.length > 0) logger.error({ problems }, 'the server keeps the signing keys it has');
      } catch (error) {
        logger.error({ err: error }, 'the signing keys could not be checked: the server keeps those it has');
      }
      try {
        const problems = await server.reloadRegistry();
        if (problems.length === 0) logger.info('registry reloaded');
        else logger.error({ problems }, 'the registry file has problems: the server keeps the registry it has');
      } catch (error) {
        logger.error({ err: error }, 'the registry could not be checked: the server keeps the registry it has');
      }
    });
    // By default close-with-grace also ends the process on SIGHUP, which here reloads the registry.
    closeWithGrace({ delay: closeTimeoutMs, logger: false, skip: ['SIGHUP'] }, async ({ err }) => {
      if (err !== undefined) logger.fatal({ err }, 'unexpected error; the server stops');
      await server.close();
    });
  } catch (error) {
    const problem = describeSetupError(error);
    if (problem === undefined) throw error;
    stderr.write(`${problem}\n`);
    return 2;
  }
  return 0;
}

/** Returns what the operator has to change, or undefined for an error that no setting or file causes. */
function describeSetupError(error: unknown): string | undefined {
  if (
    error instanceof SettingsError ||
    error instanceof RegistryError ||
    error instanceof StoreStartError ||
    error instanceof UnusableFileError
  ) {
    return error.message;
  }
  if (error instanceof FhirFault && error.category === 'transient') {
    return 'The store did not answer in time while the server started. Check the database, then start again.';
  }
  const cause = describeFileFailure(error);
  if (cause === undefined || !(error instanceof Error) || !('path' in error)) return undefined;
  return `${String(error.path)} cannot be used: ${cause}, then start again.`;
}

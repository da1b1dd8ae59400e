import closeWithGrace from 'close-with-grace';
import { RegistryError } from '../registry/parse-registry.ts';
import { buildLogger } from '../server/logger.ts';
import { openServer } from '../server/open-server.ts';
import { loadSettings, SettingsError } from '../settings/settings.ts';
import { StoreStartError } from '../store/store-start-error.ts';
import { readArguments } from './command-line.ts';

/** How long open requests and sends may take to end after SIGTERM. */
const closeTimeoutMs = 15_000;

/**
 * Starts the server and runs until a signal. Wrong settings, a wrong registry, a store that cannot be opened: every problem
 * in words, exit 2. With `--wait` it waits for a database that cannot be reached yet.
 */
export async function serve(args: readonly string[]): Promise<void> {
  const { values } = readArguments(args, { wait: { type: 'boolean', default: false } });
  try {
    const settings = loadSettings(process.env);
    const logger = buildLogger({ level: settings.logLevel });
    const server = await openServer(settings, {
      logger,
      onFatal(error) {
        logger.fatal({ err: error }, 'the store was lost to an I/O error: ending, so that a restart finds a sound one');
        process.exitCode = 1;
        setTimeout(() => process.exit(1), 100);
      },
      waitForStore: values.wait,
    });
    logger.info({ listening: server.origin, baseUrl: server.baseUrl }, 'ready');
    process.on('SIGHUP', () => {
      const problems = server.reloadRegistry();
      if (problems.length === 0) logger.info('registry reloaded');
      else logger.error({ problems }, 'the registry file has problems: the one in force stays');
    });
    // Without `skip` it would also end the process at SIGHUP, which asks for the registry to be read again.
    closeWithGrace({ delay: closeTimeoutMs, logger: false, skip: ['SIGHUP'] }, async ({ err }) => {
      if (err !== undefined) logger.fatal({ err }, 'unexpected error: ending');
      await server.close();
    });
  } catch (error) {
    const isOfSetup =
      error instanceof SettingsError || error instanceof RegistryError || error instanceof StoreStartError;
    if (!isOfSetup) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

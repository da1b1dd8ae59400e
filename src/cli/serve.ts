import closeWithGrace from 'close-with-grace';
import { openServer } from '../compose.ts';
import { loadSettings, SettingsError } from '../config.ts';
import { buildLogger } from '../http/log.ts';
import { RegistryError } from '../registry/parse-registry.ts';

/** How long open requests and sends may take to end after SIGTERM. */
const closeTimeoutMs = 15_000;

/** Starts the server and runs until a signal. Wrong settings or a wrong registry: every problem in words, exit 2. */
export async function serve(): Promise<void> {
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
    });
    logger.info({ listening: server.origin, baseUrl: server.baseUrl }, 'ready');
    process.on('SIGHUP', () => {
      const problems = server.reloadRegistry();
      if (problems.length === 0) logger.info('registry reloaded');
      else logger.error({ problems }, 'the registry file has problems: the one in force stays');
    });
    closeWithGrace({ delay: closeTimeoutMs, logger: false }, async ({ err }) => {
      if (err !== undefined) logger.fatal({ err }, 'unexpected error: ending');
      await server.close();
    });
  } catch (error) {
    if (!(error instanceof SettingsError || error instanceof RegistryError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import type { Settings } from '../settings/settings.ts';
import { openSqliteStore } from '../store/sqlite/open-sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { StoreStartError } from '../store/store-start-error.ts';
import { timeCommits } from '../store/time-commits.ts';
import { registerStoreMetrics } from './store-metrics.ts';

export interface OpenStoreOptions {
  readonly logger: Logger;
  readonly metrics: MetricRegistry;
  /** Called when the store was lost to an I/O error: the process has to end. */
  readonly onFatal: (error: Error) => void;
  /** Called when background work failed; the work is retried. */
  readonly onError: (error: unknown) => void;
  /** Whether to wait for a database that cannot be reached yet. */
  readonly waitForStore?: boolean;
  /** Wraps the store so that a test can observe its calls or replace parts. */
  readonly aroundStore?: (store: Store) => Store;
}

const retryMs = 2_000;

/**
 * Opens the store that the settings name, with its metrics; `closing` closes it. Rejects with StoreStartError if the store
 * cannot be opened as it is set up.
 */
export async function openMeasuredStore(
  settings: Settings,
  options: OpenStoreOptions,
  closing: AsyncDisposableStack,
): Promise<Store> {
  const { onCommit, onBatch } = registerStoreMetrics(options.metrics);
  const store = await openStore(settings, options, onBatch);
  closing.defer(() => store.close());
  return timeCommits(options.aroundStore?.(store) ?? store, onCommit);
}

async function openStore(
  settings: Settings,
  { logger, onFatal, onError, waitForStore = false }: OpenStoreOptions,
  onBatch: (operations: number) => void,
): Promise<Store> {
  const { mongodb } = settings;
  if (mongodb === undefined) {
    const folder = settings.dataFolder;
    const onRoom = (isThere: boolean): void => {
      if (isThere) logger.info('the disk of the data folder has room again');
      else
        logger.error({ folder }, 'the disk of the data folder is full: every request is refused until there is room');
    };
    return openSqliteStore({ folder, onFatal, onBatch, onRoom });
  }
  const { openMongoStore } = await import('../store/mongo/open-mongo-store.ts');
  while (true) {
    try {
      return await openMongoStore({ ...mongodb, onBatch, onError });
    } catch (error) {
      if (!(waitForStore && error instanceof StoreStartError && error.mayPass)) throw error;
      logger.warn({ retryMs }, 'MongoDB cannot be reached yet: the start waits for it');
      await sleep(retryMs);
    }
  }
}

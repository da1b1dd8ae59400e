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
  /** Wraps the store, for a caller that observes what is asked of it. */
  readonly aroundStore?: (store: Store) => Store;
}

interface OpenedStore {
  readonly store: Store;
  /** Warnings for the operator, shown by /health/ready. */
  readonly notes: readonly string[];
}

const retryMs = 2_000;

const standaloneNote =
  'MongoDB is a standalone server without transactions: a failure may leave a change half done, and data be lost.';

/**
 * Opens the store that the settings name, with its metrics; `closing` closes it. Rejects with StoreStartError if the store
 * cannot be opened as it is set up.
 */
export async function openMeasuredStore(
  settings: Settings,
  options: OpenStoreOptions,
  closing: AsyncDisposableStack,
): Promise<OpenedStore> {
  const { onCommit, onBatch } = registerStoreMetrics(options.metrics);
  const { store, notes } = await openStore(settings, options, onBatch);
  closing.defer(() => store.close());
  return { store: timeCommits(options.aroundStore?.(store) ?? store, onCommit), notes };
}

async function openStore(
  settings: Settings,
  { logger, onFatal, onError, waitForStore = false }: OpenStoreOptions,
  onBatch: (operations: number) => void,
): Promise<OpenedStore> {
  const { mongodb } = settings;
  if (mongodb === undefined) {
    return { store: await openSqliteStore({ folder: settings.dataFolder, onFatal, onBatch }), notes: [] };
  }
  const { openMongoStore } = await import('../store/mongo/open-mongo-store.ts');
  while (true) {
    try {
      const store = await openMongoStore({ ...mongodb, onBatch, onError });
      if (store.deployment === 'replicated') return { store, notes: [] };
      logger.warn(standaloneNote);
      return { store, notes: [standaloneNote] };
    } catch (error) {
      if (!(waitForStore && error instanceof StoreStartError && error.mayPass)) throw error;
      logger.warn({ retryMs }, 'MongoDB cannot be reached yet: the start waits for it');
      await sleep(retryMs);
    }
  }
}

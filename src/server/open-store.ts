/** Opens the store that the settings name. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Settings } from '../settings/settings.ts';
import { openSqliteStore } from '../store/sqlite/open-sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { StoreStartError } from '../store/store-start-error.ts';

export interface OpenStoreOptions {
  readonly logger: Logger;
  /** The store was lost to an I/O error: the process has to end. */
  readonly onFatal: (error: Error) => void;
  /** Told how many operations became durable together. */
  readonly onBatch: (operations: number) => void;
  /** Background work failed and goes on. */
  readonly onError: (error: unknown) => void;
  /** Whether to wait for a database that cannot be reached yet. */
  readonly wait: boolean;
}

export interface OpenedStore {
  readonly store: Store;
  /** What whoever runs the server should know of it, for /health. */
  readonly notes: readonly string[];
}

const retryMs = 2_000;

const standaloneNote =
  'MongoDB is a standalone server without transactions: a failure may leave a change half done, and data be lost.';

/** Throws StoreStartError when the store cannot be opened as it is set up. */
export async function openStore(settings: Settings, options: OpenStoreOptions): Promise<OpenedStore> {
  const { mongodb } = settings;
  if (mongodb === undefined) {
    const { onFatal, onBatch } = options;
    return { store: await openSqliteStore({ folder: settings.dataFolder, onFatal, onBatch }), notes: [] };
  }
  const { openMongoStore } = await import('../store/mongo/open-mongo-store.ts');
  const { logger, onBatch, onError, wait } = options;
  while (true) {
    try {
      const store = await openMongoStore({ ...mongodb, onBatch, onError });
      if (store.deployment === 'replicated') return { store, notes: [] };
      logger.warn(standaloneNote);
      return { store, notes: [standaloneNote] };
    } catch (error) {
      if (!(wait && error instanceof StoreStartError && error.mayPass)) throw error;
      logger.warn({ retryMs }, 'MongoDB cannot be reached yet: waiting for it');
      await sleep(retryMs);
    }
  }
}

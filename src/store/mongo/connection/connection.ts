/** The connection to a MongoDB replica set or sharded cluster, with the settings that make writes durable. */
import { MongoClient, type MongoOptions, type TopologyDescription } from 'mongodb';
import { StoreStartError } from '../../store-start-error.ts';
import { explainStart } from './explain-start.ts';

export interface MongoConnectionOptions {
  /** `mongodb://` or `mongodb+srv://`. It names a database, and has the options for TLS and authentication. */
  readonly url: string;
  /** Maximum time for one answer of a server. */
  readonly timeoutMs: number;
  /** Maximum time for an operation with its retries: longer than an election takes. Default: four times `timeoutMs`. */
  readonly deadlineMs?: number | undefined;
  /** Whether to take a remote server without TLS, and certificates that are not verified. */
  readonly allowUnprotected?: boolean | undefined;
}

const loopback = /^(?:127\.\d+\.\d+\.\d+|localhost|::1)$/;

/** Returns the deadline of an operation. */
export function deadlineOf({ timeoutMs, deadlineMs = 4 * timeoutMs }: MongoConnectionOptions): number {
  return Math.max(deadlineMs, timeoutMs);
}

export interface MongoConnection {
  readonly client: MongoClient;
  /** Returns whether a server that takes writes is known at present. */
  isWritable(): boolean;
  close(): Promise<void>;
}

/** Throws StoreStartError with what to change. Its messages never hold the URL, which may hold a password. */
export async function openConnection(options: MongoConnectionOptions): Promise<MongoConnection> {
  const client = buildClient(options);
  let described: TopologyDescription | undefined;
  client.on('topologyDescriptionChanged', ({ newDescription }) => {
    described = newDescription;
  });
  try {
    await client.connect();
    await client.db().command({ ping: 1 });
    if (described !== undefined && isStandalone(described)) throw standaloneRefused();
    const stopWatching = reconnectWhenStuck(client, 2 * options.timeoutMs);
    return {
      client,
      isWritable: () => described !== undefined && hasWritableServer(described),
      async close() {
        await stopWatching();
        await client.close();
      },
    };
  } catch (error) {
    await client.close().catch(() => undefined);
    throw explainStart(error, deadlineOf(options), client.options.tls);
  }
}

/**
 * Connects again if the driver hangs. When driver 7.9.0 writes to a connection that has just been reset, it may wait for
 * ever for room in the buffer of the closed socket. If that happens to the connection that monitors a server, the server is
 * never found again. A heartbeat that takes longer than `limitMs` is therefore ended by connecting again. Returns the
 * function that stops this.
 */
export function reconnectWhenStuck(client: MongoClient, limitMs: number): () => Promise<void> {
  const begun = new Map<string, number>();
  const end = ({ connectionId }: { readonly connectionId: string }): void => void begun.delete(connectionId);
  client.on('serverHeartbeatStarted', ({ connectionId, awaited }) => {
    // An awaited heartbeat lasts until something changes, and has its own limit.
    if (!awaited && !begun.has(connectionId)) begun.set(connectionId, performance.now());
  });
  client.on('serverHeartbeatSucceeded', end);
  client.on('serverHeartbeatFailed', end);
  client.on('serverClosed', ({ address }) => end({ connectionId: address }));
  let reconnecting: Promise<unknown> = Promise.resolve();
  let stopped = false;
  let isReconnecting = false;
  const timer = setInterval(() => {
    const isStuck = [...begun.values()].some((sinceMs) => performance.now() - sinceMs > limitMs);
    if (!isStuck || stopped || isReconnecting) return;
    isReconnecting = true;
    reconnecting = reconnect().finally(() => {
      isReconnecting = false;
    });
  }, limitMs / 4).unref();

  async function reconnect(): Promise<void> {
    await client.close().catch(() => undefined);
    begun.clear();
    while (!stopped) {
      try {
        await client.connect();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }
  return async () => {
    stopped = true;
    clearInterval(timer);
    await reconnecting;
  };
}

function buildClient(options: MongoConnectionOptions): MongoClient {
  const client = parseUrl(options);
  const { writeConcern, readConcern, readPreference, retryWrites } = client.options;
  const isDurable = writeConcern?.w === 'majority' && writeConcern.journal === true && retryWrites;
  if (isDurable && readConcern?.level === 'majority' && readPreference.mode === 'primary') {
    if (options.allowUnprotected !== true) refuseUnprotected(client.options);
    return client;
  }
  throw new StoreStartError(
    'CPIS_MONGODB_URL: remove w, journal, readConcernLevel, readPreference and retryWrites. How durable writes are and what is read is decided by the store.',
  );
}

/** Throws if others on the network could read what the database is sent, or answer in its place. */
function refuseUnprotected({ tls, hosts, rejectUnauthorized, checkServerIdentity }: MongoOptions): void {
  const isRemote = hosts.some(({ host, socketPath }) => socketPath === undefined && !loopback.test(host ?? ''));
  if (!tls && isRemote) {
    throw new StoreStartError(
      'CPIS_MONGODB_URL: set tls=true, because the plans would cross the network in the clear; or set CPIS_DANGEROUSLY_ALLOW_UNPROTECTED_MONGODB if the network itself protects them.',
    );
  }
  if (rejectUnauthorized === false || checkServerIdentity !== undefined) {
    throw new StoreStartError(
      'CPIS_MONGODB_URL: remove tlsInsecure, tlsAllowInvalidCertificates and tlsAllowInvalidHostnames, because any server could answer for the database; name its certificate authority with tlsCAFile.',
    );
  }
}

function parseUrl(options: MongoConnectionOptions): MongoClient {
  const { url, timeoutMs } = options;
  try {
    return new MongoClient(url, {
      appName: 'cpis-fhir',
      writeConcern: { w: 'majority', journal: true, wtimeoutMS: timeoutMs },
      readConcern: { level: 'majority' },
      retryReads: true,
      // An operation that is in flight during an election waits for the new primary.
      serverSelectionTimeoutMS: deadlineOf(options),
      connectTimeoutMS: timeoutMs,
      socketTimeoutMS: timeoutMs,
      waitQueueTimeoutMS: timeoutMs,
      heartbeatFrequencyMS: Math.min(timeoutMs, 2_000),
      maxPoolSize: 50,
      ignoreUndefined: false,
    });
  } catch {
    throw new StoreStartError(
      'CPIS_MONGODB_URL: is not a MongoDB connection string, or has options that do not fit together.',
    );
  }
}

const writableTypes: ReadonlySet<string> = new Set(['RSPrimary', 'Mongos', 'LoadBalancer']);

function hasWritableServer({ servers }: TopologyDescription): boolean {
  return [...servers.values()].some(({ type }) => writableTypes.has(type));
}

function isStandalone({ servers }: TopologyDescription): boolean {
  return [...servers.values()].some(({ type }) => type === 'Standalone');
}

function standaloneRefused(): StoreStartError {
  return new StoreStartError(
    `MongoDB runs as a standalone server, which has no transactions: a failure could leave a record without its AuditEvent.
Make it a replica set; one member is enough. Start mongod with --replSet rs0, then run once: mongosh --eval 'rs.initiate()'`,
  );
}

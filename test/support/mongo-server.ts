/** The MongoDB server that tests and benchmarks run on: a replica set, with transactions and change streams. */
import { randomUUID } from 'node:crypto';
import { type Document, MongoClient } from 'mongodb';
import { type MongodOptions, startMongod } from './mongod-process.ts';
import type { Teardown } from './running-server.ts';

export interface MongoTestServer {
  /** Returns a connection string that names a database which nothing else uses. */
  newDatabaseUrl(): string;
}

/** A server that this test alone uses, so that it may be stopped and made to fail. */
export interface OwnMongoServer extends MongoTestServer {
  /** A connection string without a database. */
  readonly url: string;
  /** Kills the server. */
  stop(): Promise<void>;
  /** Starts it again on the same port and data. */
  start(): Promise<void>;
  /** Makes commands fail as `data` says, some times or after some. Returns a function that ends it. */
  failCommand(
    data: Document,
    mode: { readonly times: number } | { readonly skip: number },
  ): Promise<() => Promise<void>>;
}

/** Returns the server of CPIS_TEST_MONGODB_URL, which `npm test` sets, or else one that ends with the test. */
export async function openMongoServer(t: Teardown): Promise<MongoTestServer> {
  const given = process.env['CPIS_TEST_MONGODB_URL'];
  if (given === undefined || given === '') return openOwnMongoServer(t);
  const names: string[] = [];
  t.teardown(async () => {
    const client = new MongoClient(given);
    for (const name of names) await client.db(name).dropDatabase();
    await client.close();
  });
  return {
    newDatabaseUrl() {
      const name = newDatabaseName();
      names.push(name);
      // A list of hosts is no URL.
      const [, hosts = '', query = ''] = /^([^/]+\/\/[^/?]+)(?:\/[^?]*)?(\?.*)?$/.exec(given) ?? [];
      return `${hosts}/${name}${query}`;
    },
  };
}

/** Starts a server that nothing else uses, and ends it with the test. */
export async function openOwnMongoServer(t: Teardown, options: MongodOptions = {}): Promise<OwnMongoServer> {
  const mongod = await startMongod(t, options);
  const origin = `mongodb://127.0.0.1:${mongod.port}`;
  const query = options.standalone === true ? '' : '?replicaSet=rs0';
  return {
    url: `${origin}/${query}`,
    newDatabaseUrl: () => `${origin}/${newDatabaseName()}${query}`,
    stop: mongod.stop,
    start: mongod.start,
    async failCommand(data, mode) {
      const configure = async (command: Document): Promise<void> => {
        const client = new MongoClient(`${origin}/?directConnection=true`);
        try {
          await client.db('admin').command({ configureFailPoint: 'failCommand', ...command });
        } finally {
          await client.close();
        }
      };
      await configure({ mode, data });
      return () => configure({ mode: 'off' });
    },
  };
}

/** Returns the connection string of the same database through a proxy on this machine. */
export function throughProxy(databaseUrl: string, { port }: { readonly port: number }): string {
  const url = new URL(databaseUrl);
  url.port = String(port);
  // The members that a replica set names would be connected to without the proxy.
  url.search = 'directConnection=true';
  return url.href;
}

function newDatabaseName(): string {
  return `cpis-test-${randomUUID()}`;
}

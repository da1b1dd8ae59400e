import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { mongoTestServerFolder } from '../../scripts/install-mongo-test-server.ts';
import type { ServerFlaw } from '../contract/store-contract.ts';
import { openDatabaseProcess } from './database-process.ts';
import type { Teardown } from './running-server.ts';

/** A server that speaks the MongoDB protocol. */
export interface MongoTestServer {
  /** A connection string that names a database which nobody else uses. */
  newDatabaseUrl(): string;
  /** Whether it is a replica set, with transactions, change streams and explain. */
  readonly isReplicaSet: boolean;
  /** What it gets wrong: nothing, if it is MongoDB. */
  readonly flaws: readonly ServerFlaw[];
  /** Ends the process, and starts it again on the same port and data; of one's own server only. */
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
}

/** Why there is no server to test on; undefined: there is one. */
export const noMongoServer: string | undefined =
  process.env['CPIS_TEST_MONGODB_URL'] !== undefined || existsSync(mongoTestServerFolder())
    ? undefined
    : 'no MongoDB test server is installed: run `node scripts/install-mongo-test-server.ts`, or set CPIS_TEST_MONGODB_URL';

/** Why a test that needs what only a replica set has is skipped; undefined: it is not. */
export const noReplicaSet: string | undefined =
  process.env['CPIS_TEST_MONGODB_URL'] === undefined
    ? 'CPIS_TEST_MONGODB_URL names no replica set to test on'
    : undefined;

/** That of CPIS_TEST_MONGODB_URL, or else one of the test's own on a loopback port and a fresh folder. */
export async function openMongoServer(t: Teardown): Promise<MongoTestServer> {
  const given = process.env['CPIS_TEST_MONGODB_URL'];
  return given === undefined ? openOwnServer(t) : openGivenServer(t, given);
}

function withDatabase(url: string, name: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${name}`;
  return parsed.href;
}

async function openGivenServer(t: Teardown, url: string): Promise<MongoTestServer> {
  const names: string[] = [];
  t.teardown(async () => {
    const client = new MongoClient(url);
    for (const name of names) await client.db(name).dropDatabase();
    await client.close();
  });
  const notOurs = () => Promise.reject(new Error('a server that was not started here is not stopped here'));
  return {
    newDatabaseUrl() {
      const name = `cpis-test-${randomUUID()}`;
      names.push(name);
      return withDatabase(url, name);
    },
    isReplicaSet: true,
    flaws: [],
    stop: notOurs,
    start: notOurs,
  };
}

function openOwnServer(t: Teardown): Promise<MongoTestServer> {
  const installed = mongoTestServerFolder();
  const classPath = [join(installed, 'lib', '*'), join(installed, 'classes')].join(
    process.platform === 'win32' ? ';' : ':',
  );
  const java = ['-Xshare:auto', '-XX:TieredStopAtLevel=1', '-cp', classPath, 'MongoTestServer'];
  return openDatabaseProcess(t, ['utf-16-order'], (folder, port) => [
    'java',
    ...java,
    join(folder, 'store.mv'),
    String(port),
  ]);
}

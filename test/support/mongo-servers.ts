/** The servers that the MongoDB store is tested on. */
import type { Test } from 'tap';
import { noFerretDb, openFerretDb } from './ferretdb-server.ts';
import { type MongoTestServer, noMongoServer, noReplicaSet, openMongoServer } from './mongo-server.ts';
import type { Teardown } from './running-server.ts';

export type OpenServer = (t: Teardown) => Promise<MongoTestServer>;

export interface OnEachServerOptions {
  /** Why the server of CPIS_TEST_MONGODB_URL will not do. */
  readonly notGiven?: string;
  readonly timeoutMs?: number;
}

/** Runs tests on each server by itself, and says why one is left out. */
export async function onEachServer(
  t: Test,
  run: (test: Test, open: OpenServer) => Promise<void>,
  { notGiven, timeoutMs = 120_000 }: OnEachServerOptions = {},
): Promise<void> {
  const isGiven = noReplicaSet === undefined;
  t.setTimeout(2 * timeoutMs);
  for (const [name, leftOut, open] of [
    [
      isGiven ? 'the given server' : 'mongo-java-server',
      noMongoServer ?? (isGiven ? notGiven : undefined),
      openMongoServer,
    ],
    ['FerretDB', noFerretDb, openFerretDb],
  ] as const) {
    const options = leftOut === undefined ? { timeout: timeoutMs } : { skip: leftOut };
    await t.test(`on ${name}`, options, (test) => run(test, open));
  }
}

/**
 * What FerretDB 1.24.2 does otherwise than MongoDB, with the driver alone: why the store, or the server that these tests
 * run on, is as it is. A test that fails here has found a FerretDB that does better, and says what is not needed any more.
 */
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { noFerretDb, openFerretDb } from '../../support/ferretdb-server.ts';
import type { MongoTestServer } from '../../support/mongo-server.ts';

interface Numbered {
  readonly _id: string;
  readonly version?: number;
  readonly values?: readonly string[];
  readonly entries?: readonly { readonly a: number; readonly b: number }[];
}

async function collectionOf(test: Test, server: MongoTestServer) {
  const client = new MongoClient(server.newDatabaseUrl());
  test.teardown(() => client.close());
  await client.connect();
  return client.db().collection<Numbered>('numbered');
}

const mostRounds = 50;
const atOnce = 50;

/** How many of many updates of one version say that they have changed it, at most over some rounds. */
async function mostWinners(test: Test, server: MongoTestServer, rounds: number): Promise<number> {
  const numbered = await collectionOf(test, server);
  let most = 0;
  for (let round = 0; round < rounds && most < 2; round++) {
    const _id = `round-${round}`;
    await numbered.insertOne({ _id, version: 1 });
    const results = await Promise.all(
      Array.from({ length: atOnce }, () => numbered.updateOne({ _id, version: 1 }, { $set: { version: 2 } })),
    );
    most = Math.max(most, results.filter(({ modifiedCount }) => modifiedCount === 1).length);
  }
  return most;
}

async function runTests(): Promise<void> {
  await t.test('as it is, several of 50 updates of one version are told that they have changed it', async (test) => {
    const asItIs = await openFerretDb(test, 'as-it-is');
    const most = await mostWinners(test, asItIs, mostRounds);
    test.ok(most > 1, 'if it is one: scripts/ferretdb/main.go can let commands run side by side');
    test.comment(`${most} of ${atOnce}`);
  });

  const server = await openFerretDb(t);

  await t.test('one command at a time, it is one', async (test) => {
    test.equal(await mostWinners(test, server, 3), 1);
  });

  await t.test('the two ends of a range in $elemMatch hold for any two elements', async (test) => {
    const numbered = await collectionOf(test, server);
    await numbered.insertOne({ _id: 'a', values: ['a', 'z'] });
    const between = { values: { $elemMatch: { $gte: 'm', $lt: 'n' } } };
    test.equal(await numbered.countDocuments(between), 1, 'if none is found: `beginning` needs no pattern');
    const beginning = { values: { $elemMatch: { ...between.values.$elemMatch, $regex: '^m' } } };
    test.equal(await numbered.countDocuments(beginning), 0);
  });

  await t.test('it refuses what would do instead of places of dates and deliveries', async (test) => {
    const numbered = await collectionOf(test, server);
    await numbered.insertOne({ _id: 'a', entries: [{ a: 1, b: 2 }] });
    await test.rejects(
      numbered.countDocuments({ entries: { $elemMatch: { a: { $gte: 1 }, b: { $lte: 2 } } } }),
      { code: 2 },
      '$elemMatch with conditions on fields',
    );
    await test.rejects(
      numbered.updateOne({ _id: 'a' }, { $set: { 'entries.$[e].b': 3 } }, { arrayFilters: [{ 'e.a': 1 }] }),
      { code: 238 },
      'arrayFilters',
    );
    await test.rejects(
      numbered.aggregate([{ $group: { _id: null, least: { $min: '$version' } } }]).toArray(),
      { code: 238 },
      '$min of a group',
    );
    await test.rejects(
      numbered.createIndex({ version: 1 }, { partialFilterExpression: { version: { $gt: 0 } } }),
      { code: 238 },
      'partial indexes',
    );
  });
}

if (noFerretDb !== undefined) t.plan(0, noFerretDb);
else await runTests();

/** Fills a database from another store. No server starts on it until it is complete; see schema.ts. */
import { createHash } from 'node:crypto';
import type { AnyBulkWriteOperation, Collection } from 'mongodb';
import type { CopyDigest, CopyKind, CopyPosition, CopyRecords, CopyTarget } from '../../store-copy.ts';
import { StoreStartError } from '../../store-start-error.ts';
import { type MongoConnectionOptions, openConnection } from '../connection/connection.ts';
import { explainStart } from '../connection/explain-start.ts';
import { isDuplicateKey } from '../connection/mongo-failure.ts';
import { createIndexes, openSchema } from '../connection/schema.ts';
import { openServerClock } from '../connection/server-clock.ts';
import { type Collections, openCollections, resourceKey } from '../encoding/documents.ts';
import { buildCopyEncoder, type CopyDocument, collectionOf, encodeCopiedVersions } from './encode-copy.ts';

/**
 * Opens an empty database, or one that an earlier run with the same source did not complete. Throws StoreStartError if it
 * holds anything else.
 */
export async function openMongoImport(options: MongoConnectionOptions, fingerprint: string): Promise<CopyTarget> {
  const connection = await openConnection(options);
  const { client } = connection;
  try {
    const db = client.db();
    const collections = openCollections(db);
    const { migration } = collections;
    const begun = await migration.findOne({ _id: { $eq: 'migration' } });
    if (begun === null) {
      const named = await db.listCollections({}, { nameOnly: true }).toArray();
      for (const { name } of named) {
        if (name.startsWith('system.') || (await db.collection(name).findOne({})) === null) continue;
        throw new StoreStartError('The database holds data already. Use an empty database. Nothing was changed.');
      }
      // If two processes start concurrently, one fails.
      try {
        await migration.insertOne({ _id: 'migration', fingerprint, positions: {}, completed: false, offsetMs: 0 });
      } catch (error) {
        if (isDuplicateKey(error)) throw new StoreStartError('Another process is copying a store into this database.');
        throw error;
      }
      const clock = await openServerClock(db, Date.now);
      await migration.updateOne({ _id: { $eq: 'migration' } }, { $set: { offsetMs: clock.toServer(0) } });
      clock.stop();
      await createIndexes(collections);
    } else if (begun.completed) {
      throw new StoreStartError('The copy into this database is already complete. Nothing was changed.');
    } else if (begun.fingerprint !== fingerprint) {
      throw new StoreStartError(
        'The database holds part of another store, or of this store before it changed. Drop the database and run the command again.',
      );
    } else await createIndexes(collections);
    const { positions = {}, offsetMs = 0 } = (await migration.findOne({ _id: { $eq: 'migration' } })) ?? {};
    return buildTarget(collections, positions, offsetMs, () => connection.close());
  } catch (error) {
    await connection.close();
    throw explainStart(error, options.timeoutMs);
  }
}

function buildTarget(
  collections: Collections,
  positions: Readonly<Record<string, CopyPosition>>,
  offsetMs: number,
  close: () => Promise<void>,
): CopyTarget {
  const { migration } = collections;
  const encode = buildCopyEncoder((ms) => ms + offsetMs);
  const documentsOf = (kind: CopyKind) => asCopies(collections[collectionOf[kind]]);

  return {
    positionOf: (kind) => positions[kind],
    async write(kind, records, position) {
      const documents = records.map((record) => encode[kind](record));
      if (kind === 'resource') {
        const resources = records as readonly CopyRecords['resource'][];
        const versions = resources.flatMap(encodeCopiedVersions);
        await replaceAll(
          asCopies(collections.version),
          versions.map((each) => ({ ...each })),
        );
        await replaceAll(
          asCopies(collections.uniqueKey),
          resources.flatMap(({ type, id, uniqueKeys }) =>
            uniqueKeys.map((key) => ({ _id: key, holder: resourceKey(type, id) })),
          ),
        );
      }
      await replaceAll(documentsOf(kind), documents);
      await migration.updateOne({ _id: { $eq: 'migration' } }, { $set: { [`positions.${kind}`]: position } });
    },
    expected(kind, records) {
      const digest = startDigest();
      for (const { record } of records) {
        digest.add(hashedText(kind, encode[kind](record), record));
        if (kind !== 'resource') continue;
        const versions = encodeCopiedVersions(record as CopyRecords['resource']);
        for (const version of versions) digest.addPart(canonicalText([version]));
      }
      return digest.end();
    },
    held: (kind) => digestHeld(kind, documentsOf(kind), collections),
    async complete() {
      await migration.updateOne({ _id: { $eq: 'migration' } }, { $set: { completed: true } });
      await openSchema(collections);
    },
    close,
  };
}

function asCopies(collection: unknown): Collection<CopyDocument> {
  return collection as Collection<CopyDocument>;
}

/** Replaces documents that an earlier run has written. */
async function replaceAll(collection: Collection<CopyDocument>, documents: readonly CopyDocument[]): Promise<void> {
  if (documents.length === 0) return;
  const writes = documents.map(
    (replacement): AnyBulkWriteOperation<CopyDocument> => ({
      replaceOne: { filter: { _id: { $eq: replacement._id } }, replacement, upsert: true },
    }),
  );
  await collection.bulkWrite(writes, { ordered: false });
}

/** Returns the text to compare: the document with its fields in a fixed order, and the unique keys of a resource. */
function hashedText<K extends CopyKind>(kind: K, document: CopyDocument, record: CopyRecords[K]): string {
  const keys = kind === 'resource' ? (record as CopyRecords['resource']).uniqueKeys : [];
  return canonicalText([document, [...keys].sort()]);
}

function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

interface Digest {
  /** Adds a record. */
  add(text: string): void;
  /** Adds a part of a record that is stored elsewhere. It does not count as a record. */
  addPart(text: string): void;
  end(): CopyDigest;
}

/** Adds up the hashes, so that the order of records does not matter. */
function startDigest(): Digest {
  let count = 0;
  let sum = 0n;
  const addPart = (text: string): void => {
    sum = BigInt.asUintN(256, sum + BigInt(`0x${createHash('sha256').update(text).digest('hex')}`));
  };
  return {
    add(text) {
      count += 1;
      addPart(text);
    },
    addPart,
    end: () => ({ count, hash: sum.toString(16).padStart(64, '0') }),
  };
}

const pageRecords = 200;

async function digestHeld(
  kind: CopyKind,
  collection: Collection<CopyDocument>,
  { uniqueKey, version }: Collections,
): Promise<CopyDigest> {
  const digest = startDigest();
  let page: CopyDocument[] = [];
  const addPage = async (): Promise<void> => {
    const holders = kind === 'resource' ? page.map(({ _id }) => _id) : [];
    const held = holders.length === 0 ? [] : await uniqueKey.find({ holder: { $in: holders } }).toArray();
    for (const document of page) {
      const keys = held.filter(({ holder }) => holder === document._id).map(({ _id }) => _id);
      digest.add(canonicalText([document, keys.sort()]));
    }
    page = [];
  };
  for await (const document of collection.find({}, { batchSize: pageRecords })) {
    page.push(document as CopyDocument);
    if (page.length === pageRecords) await addPage();
  }
  await addPage();
  if (kind === 'resource') {
    for await (const past of version.find({}, { batchSize: pageRecords })) digest.addPart(canonicalText([past]));
  }
  return digest.end();
}

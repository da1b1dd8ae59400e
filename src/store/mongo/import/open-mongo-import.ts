/** Fills a database from another store. No server starts on it until it is complete; see schema.ts. */
import { createHash } from 'node:crypto';
import type { AnyBulkWriteOperation, Collection } from 'mongodb';
import type { Copied, CopyDigest, CopyKind, CopyPosition, CopyRecords, CopyTarget } from '../../store-copy.ts';
import { StoreStartError } from '../../store-start-error.ts';
import { explainStart, type MongoConnectionOptions, openConnection } from '../connection/connection.ts';
import { isDuplicateKey } from '../connection/mongo-failure.ts';
import { createIndexes, openSchema } from '../connection/schema.ts';
import { openServerClock } from '../connection/server-clock.ts';
import { type Collections, openCollections, resourceKey } from '../encoding/documents.ts';
import { buildCopyEncoder, type CopyDocument, collectionOf } from './encode-copy.ts';

/** Maximum total bytes of the bodies of one resource, because its document must stay below 16 MB. */
const maxBodyBytes = 15 * 1024 * 1024;

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
  const documentsOf = (kind: CopyKind) => collections[collectionOf[kind]] as unknown as Collection<CopyDocument>;

  return {
    positionOf: (kind) => positions[kind],
    async write(kind, records, position) {
      const documents = records.map((record) => encode[kind](record));
      if (kind === 'resource') {
        const resources = records as readonly CopyRecords['resource'][];
        checkSizes(documents);
        await replaceAll(
          collections.uniqueKey as unknown as Collection<CopyDocument>,
          resources.flatMap(({ type, id, uniqueKeys }) =>
            uniqueKeys.map((key) => ({ _id: key, holder: resourceKey(type, id) })),
          ),
        );
      }
      await replaceAll(documentsOf(kind), documents);
      await migration.updateOne({ _id: { $eq: 'migration' } }, { $set: { [`positions.${kind}`]: position } });
    },
    expected: (kind, records) => digestRecords(records, (record) => hashedText(kind, encode[kind](record), record)),
    held: (kind) => digestHeld(kind, documentsOf(kind), collections),
    async complete() {
      await migration.updateOne({ _id: { $eq: 'migration' } }, { $set: { completed: true } });
      await openSchema(collections);
    },
    close,
  };
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

function checkSizes(documents: readonly CopyDocument[]): void {
  for (const { bodyBytes, type } of documents) {
    if (Number(bodyBytes) <= maxBodyBytes) continue;
    throw new StoreStartError(
      `The versions of a ${String(type)} have ${String(bodyBytes)} bytes together. The maximum for one resource in MongoDB is ${maxBodyBytes}.`,
    );
  }
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
  add(text: string): void;
  end(): CopyDigest;
}

/** Adds up the hashes, so that the order of records does not matter. */
function startDigest(): Digest {
  let count = 0;
  let sum = 0n;
  return {
    add(text) {
      count += 1;
      sum = BigInt.asUintN(256, sum + BigInt(`0x${createHash('sha256').update(text).digest('hex')}`));
    },
    end: () => ({ count, hash: sum.toString(16).padStart(64, '0') }),
  };
}

function digestRecords<K extends CopyKind>(
  records: Iterable<Copied<K>>,
  textOf: (record: CopyRecords[K]) => string,
): CopyDigest {
  const digest = startDigest();
  for (const { record } of records) digest.add(textOf(record));
  return digest.end();
}

const pageRecords = 200;

async function digestHeld(
  kind: CopyKind,
  collection: Collection<CopyDocument>,
  { uniqueKey }: Collections,
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
  return digest.end();
}

/** The indexes, and the version of what the collections hold, as the database records it. */
import { type Collection, type Document, type IndexDescription, MongoServerError } from 'mongodb';
import { StoreStartError } from '../../store-start-error.ts';
import { oldestFirst } from '../encoding/delivery-place.ts';
import type { Collections } from '../encoding/documents.ts';

/** Recorded in the collection `schema`. */
const schemaVersion = 2;

/** Error codes of servers. */
const namespaceNotFound = 26;
const notImplemented = 238;

const newestFirst = { recordedMs: -1, seq: -1 } as const;
const whileUndelivered = { partialFilterExpression: { undelivered: { $gt: 0 } } };

/**
 * Creates what is missing; several servers may do so at once. Throws StoreStartError when a newer program has written the
 * database, or when it holds something else.
 */
export async function openSchema(collections: Collections): Promise<void> {
  const { resource, schema, migration } = collections;
  const found = await schema.findOne({ _id: { $eq: 'store' } });
  if (found !== null && found.version > schemaVersion) {
    throw new StoreStartError(
      `The database has schema version ${found.version}, newer than ${schemaVersion}, which this program knows: run the newer program.`,
    );
  }
  if (found !== null && found.version < schemaVersion) {
    throw new StoreStartError(
      `The database has schema version ${found.version}, which was only written before the first release: use a new database.`,
    );
  }
  if (found === null && (await resource.findOne({ version: { $exists: false } })) !== null) {
    throw new StoreStartError('The database has a collection "resource" of something else: give the store its own.');
  }
  if ((await migration.findOne({ completed: { $eq: false } })) !== null) {
    throw new StoreStartError(
      'A store is being copied into this database, and it is not complete: let cpis migrate go on to its end.',
    );
  }
  await createIndexes(collections);
  if (found !== null) return;
  try {
    await schema.insertOne({ _id: 'store', version: schemaVersion });
  } catch (error) {
    // Another server was first.
    if (!(error instanceof MongoServerError && error.code === 11_000)) throw error;
    await openSchema(collections);
  }
}

/** Creates the indexes that are missing. */
export async function createIndexes(collections: Collections): Promise<void> {
  const { resource, audit, pendingAudit, uniqueKey, condition, usedOnce, breach, subscriptionEvent } = collections;
  await Promise.all([
    createMissing(resource, [
      { name: 'by_type', key: { type: 1, deleted: 1, id: 1 } },
      { name: 'by_key', key: { keys: 1, id: 1 } },
      { name: 'by_label', key: { type: 1, labels: 1, id: 1 } },
      { name: 'by_label_updated', key: { type: 1, labels: 1, lastUpdatedMs: -1, _id: -1 } },
      { name: 'by_updated', key: { type: 1, lastUpdatedMs: -1, id: 1 } },
    ]),
    createMissing(audit, [
      { name: 'by_recorded', key: newestFirst },
      { name: 'by_patient', key: { patients: 1, ...newestFirst } },
      { name: 'by_agent', key: { agents: 1, ...newestFirst } },
      { name: 'by_label', key: { labels: 1, ...newestFirst } },
      { name: 'by_queue', key: { queue: 1, ...oldestFirst }, ...whileUndelivered },
    ]),
    createMissing(pendingAudit, [{ name: 'by_until', key: { untilMs: 1 } }]),
    createMissing(uniqueKey, [{ name: 'by_holder', key: { holder: 1 } }]),
    createMissing(condition, [{ name: 'by_until', key: { untilMs: 1 } }]),
    createMissing(usedOnce, [{ name: 'by_expiry', key: { expiresAtMs: 1 } }]),
    createMissing(breach, [
      { name: 'by_authority', key: { authority: 1, atMs: -1 } },
      { name: 'by_time', key: { atMs: -1 } },
    ]),
    createMissing(subscriptionEvent, [
      { name: 'by_number', key: { subscription: 1, number: 1 }, unique: true },
      { name: 'by_audit', key: { subscription: 1, auditId: 1 }, unique: true },
    ]),
  ]);
}

/** One that is there under its name with other fields is for the server to refuse. */
async function createMissing<T extends Document>(
  collection: Collection<T>,
  wanted: readonly IndexDescription[],
): Promise<void> {
  const there = await listIndexes(collection);
  const missing = wanted.filter(
    ({ name, key }) => !there.some((index) => index.name === name && JSON.stringify(index.key) === JSON.stringify(key)),
  );
  if (missing.length === 0) return;
  try {
    await collection.createIndexes(missing);
  } catch (error) {
    if (!(error instanceof MongoServerError && error.code === notImplemented)) throw error;
    // A server without partial indexes has them over all documents: larger, and they answer the same.
    await collection.createIndexes(missing.map(({ partialFilterExpression, ...whole }) => whole));
  }
}

async function listIndexes<T extends Document>(collection: Collection<T>): Promise<readonly IndexDescription[]> {
  try {
    return await collection.indexes();
  } catch (error) {
    if (error instanceof MongoServerError && error.code === namespaceNotFound) return [];
    throw error;
  }
}

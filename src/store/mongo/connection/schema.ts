/** The indexes, and the schema version that the database records. */
import { StoreStartError } from '../../store-start-error.ts';
import { oldestFirst } from '../encoding/delivery-place.ts';
import type { Collections, ResourceDocument } from '../encoding/documents.ts';
import { isDuplicateKey } from './mongo-failure.ts';
import { moveVersions } from './move-versions.ts';

/** Recorded in the collection `schema`. */
const schemaVersion = 3;
/** The version that had past versions in the documents of their resources. */
const movableVersion = 2;

/** Longer than any unit takes. */
const conditionKeptS = 3_600;

const newestFirst = { recordedMs: -1, seq: -1 } as const;
const whileUndelivered = { partialFilterExpression: { undelivered: { $gt: 0 } } };

/**
 * Creates missing indexes, migrates the schema version before this one, and records the version; several servers may do so at
 * once. Throws StoreStartError if the database has another version, holds other data, or is being copied into.
 */
export async function openSchema(collections: Collections): Promise<void> {
  const { resource, schema, migration } = collections;
  const found = await schema.findOne({ _id: { $eq: 'store' } });
  if (found !== null && found.version > schemaVersion) {
    throw new StoreStartError(
      `The database has schema version ${found.version}, newer than ${schemaVersion}, the version of this program. Run the newer program.`,
    );
  }
  if (found !== null && found.version < movableVersion) {
    throw new StoreStartError(
      `The database has schema version ${found.version}, which was only written before the first release. Use a new database.`,
    );
  }
  if (found === null && holdsOther(await resource.findOne({}, { projection: { version: 1 } }))) {
    throw new StoreStartError(
      'The database has a collection "resource" that the store did not write. Give the store a database of its own.',
    );
  }
  if ((await migration.findOne({ completed: { $eq: false } })) !== null) {
    throw new StoreStartError('The copy into this database is not complete. Run cpis migrate again until it is.');
  }
  await createIndexes(collections);
  if (found?.version === movableVersion) {
    await moveVersions(collections, movableVersion);
    const of = { _id: { $eq: 'store' }, version: { $eq: movableVersion } };
    await schema.updateOne(of, { $set: { version: schemaVersion }, $unset: { movedThrough: 1 } });
  }
  if (found !== null) return;
  try {
    await schema.insertOne({ _id: 'store', version: schemaVersion });
  } catch (error) {
    // Another server was faster.
    if (!isDuplicateKey(error)) throw error;
    await openSchema(collections);
  }
}

/** Returns whether a document is not one of the store. One is enough: reading all would take long in a large database. */
function holdsOther(document: Pick<ResourceDocument, 'version'> | null): boolean {
  return document !== null && typeof document.version !== 'number';
}

/** Creates the indexes that are missing. */
export async function createIndexes(collections: Collections): Promise<void> {
  const { resource, version, audit, uniqueKey, usedOnce, condition, breach, subscriptionEvent } = collections;
  await Promise.all([
    resource.createIndexes([
      { name: 'by_type', key: { type: 1, deleted: 1, id: 1 } },
      { name: 'by_key', key: { keys: 1, id: 1 } },
      { name: 'by_label', key: { type: 1, labels: 1, id: 1 } },
      { name: 'by_label_updated', key: { type: 1, labels: 1, lastUpdatedMs: -1, _id: -1 } },
      { name: 'by_updated', key: { type: 1, lastUpdatedMs: -1, id: 1 } },
    ]),
    version.createIndexes([{ name: 'by_label', key: { type: 1, labels: 1, lastUpdatedMs: -1, _id: -1 } }]),
    audit.createIndexes([
      { name: 'by_recorded', key: newestFirst },
      { name: 'by_patient', key: { patients: 1, ...newestFirst } },
      { name: 'by_agent', key: { agents: 1, ...newestFirst } },
      { name: 'by_label', key: { labels: 1, ...newestFirst } },
      { name: 'by_queue', key: { queue: 1, ...oldestFirst }, ...whileUndelivered },
    ]),
    uniqueKey.createIndexes([{ name: 'by_holder', key: { holder: 1 } }]),
    usedOnce.createIndexes([{ name: 'by_expiry', key: { expiresAtMs: 1 } }]),
    condition.createIndexes([{ name: 'by_use', key: { usedAt: 1 }, expireAfterSeconds: conditionKeptS }]),
    breach.createIndexes([
      { name: 'by_authority', key: { authority: 1, atMs: -1 } },
      { name: 'by_time', key: { atMs: -1 } },
    ]),
    subscriptionEvent.createIndexes([
      { name: 'by_number', key: { subscription: 1, number: 1 }, unique: true },
      { name: 'by_audit', key: { subscription: 1, auditId: 1 }, unique: true },
    ]),
  ]);
}

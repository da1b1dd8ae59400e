/**
 * Moves past versions out of the documents of their resources, where schema version 2 had them, in bounded steps. If it is
 * interrupted, the next start goes on where it ended. Several servers may do it at once.
 */
import { type Collections, type ResourceDocument, resourceKey } from '../encoding/documents.ts';
import { encodeVersion } from '../encoding/encode-unit.ts';
import { isDuplicateKey } from './mongo-failure.ts';

/** A resource as schema version 2 had it. */
type FormerResource = ResourceDocument & { readonly bodyBytes?: number };
type Moved = Pick<Collections, 'resource' | 'version' | 'schema'>;

const pageResources = 200;
/** Approximate number of bytes of bodies that are moved together. A single resource may have more. */
const groupBytes = 4 * 1024 * 1024;

/**
 * Moves the versions of all resources after the recorded position, and records it after each page, in a database of the given
 * schema version.
 */
export async function moveVersions(collections: Moved, from: number): Promise<void> {
  const { resource, schema } = collections;
  // Another server may have completed it meanwhile.
  const store = { _id: { $eq: 'store' }, version: { $eq: from } };
  const begun = await schema.findOne(store);
  if (begun === null) return;
  let after = begun.movedThrough ?? '';
  while (true) {
    const options = { projection: { bodyBytes: 1 }, sort: { _id: 1 }, limit: pageResources } as const;
    const page = await resource.find<FormerResource>({ _id: { $gt: after } }, options).toArray();
    const last = page.at(-1);
    if (last === undefined) return;
    for (const group of groupsOf(page)) await moveGroup(collections, group);
    after = last._id;
    await schema.updateOne(store, { $max: { movedThrough: after } });
  }
}

function groupsOf(page: readonly FormerResource[]): readonly (readonly string[])[] {
  const groups: string[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { _id, bodyBytes = 0 } of page) {
    if (bytes + bodyBytes > groupBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(_id);
    bytes += bodyBytes;
  }
  return groups;
}

async function moveGroup({ resource, version }: Moved, keys: readonly string[]): Promise<void> {
  while (true) {
    const found = await resource.find({ _id: { $in: [...keys] }, versions: { $exists: true } }).toArray();
    if (found.length === 0) return;
    const past = found.flatMap(({ type = '', id = '', versions = [] }) =>
      versions.map((each) => encodeVersion(resourceKey(type, id), type, id, each)),
    );
    const copies = past.map((replacement) => ({
      replaceOne: { filter: { _id: { $eq: replacement._id } }, replacement, upsert: true },
    }));
    try {
      if (copies.length > 0) await version.bulkWrite(copies, { ordered: false });
    } catch (error) {
      // Another server copies them too.
      if (!isDuplicateKey(error)) throw error;
      continue;
    }
    // A resource that an older server has written meanwhile is read again.
    const removals = found.map(({ _id, version: read }) => ({
      updateOne: {
        filter: { _id: { $eq: _id }, version: { $eq: read } },
        update: { $unset: { versions: 1, marks: 1, bodyBytes: 1 } as const },
      },
    }));
    await resource.bulkWrite(removals, { ordered: false });
  }
}

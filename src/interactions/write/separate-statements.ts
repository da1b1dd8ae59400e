import type { Patient } from 'fhir/r4.js';
import { ownerLabel, statedLabel } from '../../cpis/labels.ts';
import { childType, statementType } from '../../cpis/statement.ts';
import type { ReadResult, ResourceWrite, Store, StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { buildChild } from './child-record.ts';
import { buildDeletion } from './resource-write.ts';

type Ports = Pick<InteractionPorts, 'clock' | 'extract'> & { readonly store: Store };

const atOnce = 100;

const idsIn = (labels: readonly string[], prefix: string): string[] =>
  labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));

const versionOf = (result: ReadResult): number => (result.kind === 'found' ? result.resource.version : 0);

/** Builds a version of an authority's Patient from a version of the Patient that it shared with others. */
function buildStatement(
  shared: StoredResource,
  version: number,
  authorityId: string,
  labels: readonly string[],
  ports: Ports,
): ResourceWrite {
  const patient = JSON.parse(shared.body) as Patient;
  const body = { ...patient, meta: { ...patient.meta, versionId: String(version) } };
  return {
    type: statementType(authorityId),
    id: shared.id,
    version,
    lastUpdatedMs: shared.lastUpdatedMs,
    body: JSON.stringify(body),
    method: version === 1 ? 'POST' : 'PUT',
    labels,
    index: ports.extract(body),
    uniqueKeys: [],
  };
}

/** Returns the versions of the shared Patient that an authority could read, oldest first. */
async function versionsFor(authorityId: string, shared: StoredResource, store: Store): Promise<StoredResource[]> {
  const own = [`viewer:${authorityId}`, `submitter:${authorityId}`];
  const found: StoredResource[] = [];
  for (let version = 1; version < shared.version; version += 1) {
    const past = await store.readVersion('Patient', shared.id, version);
    if (past.kind !== 'found' || !own.some((label) => past.resource.labels.includes(label))) continue;
    found.push(past.resource);
  }
  return [...found, shared];
}

/** Returns the Patient with the number and the birth date only: what an authority stated that has matched another's Patient. */
function matchedOnly(shared: StoredResource): StoredResource {
  const { resourceType, id, meta, identifier, birthDate } = JSON.parse(shared.body) as Patient;
  return { ...shared, body: JSON.stringify({ resourceType, id, meta, identifier, birthDate }) };
}

/** Gives each authority that holds or submitted a shared Patient its own, and replaces it by a child record. */
async function separate(shared: StoredResource, ports: Ports): Promise<void> {
  const { store } = ports;
  const { id, labels, revision } = shared;
  const holders = idsIn(labels, 'viewer:');
  const others = idsIn(labels, 'submitter:').filter((authority) => !holders.includes(authority));
  for (const authority of [...holders, ...others]) {
    const holds = holders.includes(authority);
    const labelled = [...(holds ? [ownerLabel(authority)] : []), statedLabel];
    const isItsOwn = holds || labels.length === 1;
    const versions = isItsOwn ? await versionsFor(authority, shared, store) : [matchedOnly(shared)];
    const done = versionOf(await store.read(statementType(authority), id));
    for (const [index, version] of versions.entries()) {
      if (index < done) continue;
      await store.commit({
        writes: [buildStatement(version, index + 1, authority, labelled, ports)],
        guards: [],
        audits: [],
      });
    }
  }
  const child = versionOf(await store.read(childType, id)) > 0 ? [] : [buildChild(id, ports)];
  const guards = [{ type: 'Patient', id, expectRevision: revision }];
  await store.commit({ writes: [...child, buildDeletion(shared, ports)], guards, audits: [] });
}

/**
 * Separates the Patients that a release before ADR 0029 stored once for all authorities. Call it before the store is used. It
 * may be interrupted and repeated; another server may do the same. Returns how many Patients it found.
 */
export async function separateStatements(ports: Ports): Promise<number> {
  let count = 0;
  while (true) {
    const plan = { type: 'Patient', clauses: [], sort: [], limit: atOnce, total: false } as const;
    const { matches } = await ports.store.search(plan);
    if (matches.length === 0) return count;
    await Promise.all(matches.map((shared) => separate(shared, ports)));
    count += matches.length;
  }
}

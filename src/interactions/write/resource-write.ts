import type { FhirResource } from 'fhir/r4.js';
import { mayRead } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { isHeld, parsePlan } from '../../cpis/plan.ts';
import type { ResourceWrite, RevisionGuard, StoredResource } from '../../store/store.ts';
import type { FhirAnswer } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { describeOwnAccess, showResource } from '../resource/present-resource.ts';
import { foundWithdrawn } from './plan-references.ts';
import type { PlannedWrite } from './planned-write.ts';

/** Returns the content of a resource without its meta, as text that is equal if nothing has changed. */
export function contentOf(resource: FhirResource): string {
  const { meta: _, ...content } = resource;
  return JSON.stringify(sortKeys(content));
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sortKeys(member)]),
  );
}

export interface NewVersion {
  readonly version: number;
  readonly method: 'POST' | 'PUT';
  readonly labels: readonly string[];
  readonly uniqueKeys: readonly string[];
}

/** Builds a new version of a resource. Meta is set by the server, and the other content is taken as given. */
export function buildResourceWrite(
  resource: FhirResource,
  id: string,
  next: NewVersion,
  ports: Pick<InteractionPorts, 'clock' | 'extract'>,
): ResourceWrite {
  const lastUpdatedMs = ports.clock();
  const { resourceType, id: _, meta: _sent, ...content } = resource;
  const versioned = {
    resourceType,
    id,
    meta: {
      versionId: String(next.version),
      lastUpdated: new Date(lastUpdatedMs).toISOString(),
    },
    ...content,
  };
  return {
    type: resourceType,
    id,
    lastUpdatedMs,
    body: JSON.stringify(versioned),
    index: ports.extract(versioned),
    ...next,
  };
}

/**
 * Builds the tombstone that follows the current version. It keeps the labels, so that the owner gets 410 and not 404.
 */
export function buildDeletion(current: StoredResource, ports: Pick<InteractionPorts, 'clock'>): ResourceWrite {
  return {
    type: current.type,
    id: current.id,
    version: current.version + 1,
    lastUpdatedMs: ports.clock(),
    body: null,
    method: 'DELETE',
    labels: current.labels,
    index: [],
    uniqueKeys: [],
  };
}

/** Builds the answer to a write that made this version. */
export function answerWrite(write: ResourceWrite): FhirAnswer {
  return {
    kind: write.version === 1 ? 'created' : 'ok',
    ...(write.body === null ? {} : { body: write.body }),
    versionId: String(write.version),
    lastUpdatedMs: write.lastUpdatedMs,
    location: `${write.type}/${write.id}/_history/${write.version}`,
  };
}

/** Builds the answer to a write that left the current version as it is. */
export function answerStored({ type, id, version, lastUpdatedMs, body }: StoredResource): FhirAnswer {
  const location = `${type}/${id}/_history/${version}`;
  return { kind: 'ok', body, versionId: String(version), lastUpdatedMs, location };
}

/** Builds the guard that refuses a unit if the resource has been written or labelled since it was read. */
export function guardOf({ type, id, revision }: StoredResource): RevisionGuard {
  return { type, id, expectRevision: revision };
}

/**
 * Plans a conditional create that found an existing resource. Nothing is written. The response contains the resource if
 * the caller's scopes grant reading it, and the access is audited as a read.
 */
export function answerExisting(existing: StoredResource, caller: Caller, ports: InteractionPorts): PlannedWrite {
  const { type, id, version, lastUpdatedMs } = existing;
  const body = showResource(caller, existing, ports);
  return {
    writes: [],
    guards: [],
    access: { ...describeOwnAccess(existing, caller), interaction: 'read' },
    answer: {
      kind: 'ok',
      ...(mayRead(caller, type) ? { body } : {}),
      versionId: String(version),
      lastUpdatedMs,
      location: `${type}/${id}/_history/${version}`,
      ...(type === 'Flag' && !isHeld(parsePlan(existing)) ? { warnings: [foundWithdrawn] } : {}),
    },
  };
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { authorise } from '../../cpis/access-policy.ts';
import { isTypeInteraction } from '../../cpis/interaction-table.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { AuditWrite, ResourceWrite, RevisionGuard } from '../../store/store.ts';
import { buildAudit } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest, Perform } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { overlayView, storeView } from '../resource/view.ts';
import { checkRefusal, contended, maxPlans, planWrite } from '../write/commit-write.ts';
import type { PlannedWrite } from '../write/planned-write.ts';
import { renderResponseBundle } from './batch.ts';
import { budgetReads } from './budget-reads.ts';
import {
  type BundleEntry,
  isRead,
  issuesInBundle,
  parseEntry,
  performEntry,
  renderAnsweredEntry,
} from './bundle-entry.ts';
import { checkRead } from './check-read.ts';
import { resolveConditionalReferences } from './conditional-references.ts';
import { replaceReferences } from './replace-references.ts';

/**
 * Returns the order in which entries are processed: DELETE, then Patients because plans refer to them, then POST, PUT
 * and GET.
 */
function rank(entry: BundleEntry): number {
  if (entry.method === 'DELETE') return 0;
  if (isRead(entry)) return 4;
  if (entry.request.type === 'Patient') return 1;
  return entry.method === 'POST' ? 2 : 3;
}

function inEntry<T>(entry: BundleEntry, act: () => T): T {
  const move = (error: unknown): unknown =>
    error instanceof FhirFault ? error.withIssues(issuesInBundle(error.issues, entry)) : error;
  try {
    const result = act();
    return result instanceof Promise ? (result.catch((error) => Promise.reject(move(error))) as T) : result;
  } catch (error) {
    throw move(error);
  }
}

function parseEntries(entries: readonly unknown[], context: AccessContext, baseUrl: string): BundleEntry[] {
  const parsed = entries.map((entry, index) => parseEntry(entry, index, baseUrl));
  const fullUrls = new Set<string>();
  for (const entry of parsed) {
    if (entry.fullUrl !== undefined && fullUrls.has(entry.fullUrl)) {
      throw fault('invalid', 'This entry has the same fullUrl as another entry. Give each entry its own.', {
        expression: [`Bundle.entry[${entry.index}].fullUrl`],
      });
    }
    if (entry.fullUrl !== undefined) fullUrls.add(entry.fullUrl);
    const { interaction, type = '' } = entry.request;
    if (isRead(entry) && isTypeInteraction(interaction)) {
      inEntry(entry, () => authorise(context.caller, type, interaction));
    }
  }
  return parsed.sort((a, b) => rank(a) - rank(b) || a.index - b.index);
}

/** Maximum entries that are planned before yielding to other requests. */
const entriesBetweenYields = 20;

interface PlannedEntry {
  readonly entry: BundleEntry;
  readonly planned: PlannedWrite;
}

/**
 * Returns the resources that an entry writes, or would write if it changed anything. A POST that found an existing
 * resource has none.
 */
function identitiesOf(request: FhirRequest, { writes, answer }: PlannedWrite): ReadonlySet<string> {
  const identities = new Set(writes.map(({ type, id }) => `${type}/${id}`));
  if (request.interaction === 'create') return identities;
  if (request.id !== undefined) identities.add(`${request.type}/${request.id}`);
  const location = locationOf(answer);
  if (location !== undefined) identities.add(location);
  return identities;
}

function locationOf({ location }: FhirAnswer): string | undefined {
  return location?.split('/_history/')[0];
}

/** Plans all writes, and checks that no read would fail after them, because one failing entry fails the transaction. */
async function planAll(
  entries: readonly BundleEntry[],
  reads: readonly BundleEntry[],
  newIds: ReadonlyMap<number, string>,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<PlannedEntry[]> {
  const view = overlayView(storeView(ports.store));
  const locations = new Map<string, string>();
  const written = new Set<string>();
  const conditions = new Set<string>();
  const done: PlannedEntry[] = [];
  for (const entry of entries) {
    if (done.length % entriesBetweenYields === entriesBetweenYields - 1) await nextTurn();
    const conditional = await inEntry(entry, () => resolveConditionalReferences(entry.request.body, context, ports));
    const body = replaceReferences(entry.request.body, new Map([...locations, ...conditional]));
    const request = body === undefined ? entry.request : { ...entry.request, body };
    const newId = newIds.get(entry.index) ?? '';
    const planned = await inEntry(entry, () => planWrite(request, context, view, ports, newId));
    for (const identity of identitiesOf(request, planned)) {
      if (written.has(identity)) {
        throw fault(
          'invalid',
          'This entry writes the same resource as another entry. Send one of them in another Bundle.',
          {
            expression: [`Bundle.entry[${entry.index}]`],
          },
        );
      }
      written.add(identity);
    }
    for (const { type, ifNoneExist } of planned.writes) {
      const condition = ifNoneExist === undefined ? undefined : JSON.stringify([type, ifNoneExist.clauses]);
      if (condition !== undefined && conditions.has(condition)) {
        throw fault(
          'invalid',
          'This entry is created under the same condition as another entry. Create the resource once.',
          {
            expression: [`Bundle.entry[${entry.index}].request`],
          },
        );
      }
      if (condition !== undefined) conditions.add(condition);
    }
    view.add(planned.writes, planned.guards);
    const location = locationOf(planned.answer);
    if (entry.fullUrl !== undefined && location !== undefined) locations.set(entry.fullUrl, location);
    done.push({ entry, planned });
  }
  for (const [count, entry] of reads.entries()) {
    if (count % entriesBetweenYields === entriesBetweenYields - 1) await nextTurn();
    await inEntry(entry, () => checkRead(entry.request, context, view, ports));
  }
  return done;
}

/**
 * Merges the planned writes to one unit, with one guard for each resource: the revision of its first guard, and the labels
 * that the last entry gave it, by a write or by a guard.
 */
function mergeUnit(planned: readonly PlannedEntry[]): { writes: ResourceWrite[]; guards: RevisionGuard[] } {
  const keyOf = ({ type, id }: ResourceWrite | RevisionGuard): string => `${type}/${id}`;
  const labels = new Map<string, readonly string[]>();
  const guards = new Map<string, RevisionGuard>();
  for (const { planned: entry } of planned) {
    for (const write of entry.writes) labels.set(keyOf(write), write.labels);
    for (const guard of entry.guards) {
      if (guard.labels !== undefined) labels.set(keyOf(guard), guard.labels);
      if (!guards.has(keyOf(guard))) guards.set(keyOf(guard), guard);
    }
  }
  const withLabels = <T extends ResourceWrite | RevisionGuard>(part: T): T => {
    const last = labels.get(keyOf(part));
    return last === undefined ? part : { ...part, labels: last };
  };
  const writes = planned.flatMap(({ planned: entry }) => entry.writes).map(withLabels);
  return { writes, guards: [...guards.values()].map(withLabels) };
}

async function commitAll(
  writes: readonly BundleEntry[],
  reads: readonly BundleEntry[],
  context: AccessContext,
  ports: InteractionPorts,
): Promise<readonly PlannedEntry[]> {
  const newIds = new Map(writes.map((entry) => [entry.index, ports.newId()]));
  for (let round = 0; round < maxPlans; round += 1) {
    const planned = await planAll(writes, reads, newIds, context, ports);
    if (planned.length === 0) return [];
    const audits: AuditWrite[] = planned.map((done) =>
      buildAudit(done.entry.request, context, done.planned.access, ports),
    );
    const result = await ports.store.commit({ ...mergeUnit(planned), audits });
    if (result.kind === 'committed') {
      ports.committed(audits);
      for (const done of planned) done.planned.committed?.();
      return planned;
    }
    const refused = planned.find(({ planned: { writes } }) =>
      writes.some(({ type, id }) => type === result.type && id === result.id),
    );
    if (refused === undefined) checkRefusal(result);
    else inEntry(refused.entry, () => checkRefusal(result));
  }
  throw contended();
}

/**
 * Performs a transaction: all writes or none, in one durable unit with an AuditEvent for each. The reads run afterwards
 * and see the writes. A read that would fail refuses the whole. https://hl7.org/fhir/R4/http.html#transaction
 */
export async function transaction(
  entries: readonly unknown[],
  context: AccessContext,
  perform: Perform,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const parsed = parseEntries(entries, context, ports.baseUrl);
  const responses: string[] = new Array(entries.length);
  const writes = parsed.filter((entry) => !isRead(entry));
  const reads = parsed.filter(isRead);
  for (const { entry, planned } of await commitAll(writes, reads, context, ports)) {
    responses[entry.index] = renderAnsweredEntry(entry, planned.answer, context, ports.baseUrl);
  }
  // A read can still fail if another client has changed the resource since, or if it exceeds the budget. The writes
  // stay stored, and its response entry says so.
  const performRead = budgetReads(perform, ports);
  for (const entry of reads) {
    responses[entry.index] = await performEntry(entry, context, performRead, ports.baseUrl);
  }
  return { kind: 'ok', body: renderResponseBundle('transaction-response', responses) };
}

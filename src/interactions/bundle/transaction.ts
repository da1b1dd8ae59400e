import { authorise } from '../../cpis/access-policy.ts';
import { isTypeInteraction } from '../../cpis/interaction-table.ts';
import { membersOf, textOf } from '../../fhir/any-json.ts';
import { defined } from '../../fhir/defined.ts';
import { fault } from '../../fhir/fault.ts';
import type { AuditWrite, ResourceWrite, RevisionGuard } from '../../store/store.ts';
import { buildAudit } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, Perform } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkRefusal, contended, maxPlans } from '../write/commit-write.ts';
import { renderResponseBundle } from './batch.ts';
import { budgetReads } from './budget-reads.ts';
import { type BundleEntry, isRead, parseEntry, performEntry, renderAnsweredEntry } from './bundle-entry.ts';
import { inEntry, type PlannedEntry, planEntries } from './plan-entries.ts';
import { openRefusals, type Refusals, type UndoneEntry } from './refusals.ts';
import { refuseTakenIdentifiers } from './refuse-taken-identifiers.ts';

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

/** Returns what an entry that could not be parsed was to write. */
function describeUnparsed(entry: unknown): UndoneEntry {
  const { fullUrl, resource } = membersOf(entry);
  const { resourceType, id } = membersOf(resource);
  return { fullUrl: textOf(fullUrl), request: defined({ type: textOf(resourceType), id: textOf(id), body: resource }) };
}

/** Parses the entries, in the order in which they are processed. Those that are refused are left out. */
function parseEntries(
  entries: readonly unknown[],
  refusals: Refusals,
  context: AccessContext,
  baseUrl: string,
): BundleEntry[] {
  const parsed: BundleEntry[] = [];
  const fullUrls = new Set<string>();
  const parse = (raw: unknown, index: number): BundleEntry => {
    const entry = parseEntry(raw, index, baseUrl);
    const { fullUrl, request } = entry;
    if (fullUrl !== undefined && fullUrls.has(fullUrl)) {
      throw fault('invalid', 'This entry has the same fullUrl as another entry. Give each entry its own.', {
        expression: [`Bundle.entry[${index}].fullUrl`],
      });
    }
    if (fullUrl !== undefined) fullUrls.add(fullUrl);
    const { interaction, type = '' } = request;
    if (isRead(entry) && isTypeInteraction(interaction)) {
      inEntry(entry, () => authorise(context.caller, type, interaction));
    }
    return entry;
  };
  for (const [index, raw] of entries.entries()) {
    try {
      parsed.push(parse(raw, index));
    } catch (error) {
      refusals.add(error);
      refusals.leaveUndone(describeUnparsed(raw));
    }
  }
  return parsed.sort((a, b) => rank(a) - rank(b) || a.index - b.index);
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
  refusals: Refusals,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<readonly PlannedEntry[]> {
  const newIds = new Map(writes.map((entry) => [entry.index, ports.newId()]));
  for (let round = 0; round < maxPlans; round += 1) {
    const planned = await planEntries(writes, reads, newIds, refusals, context, ports);
    refusals.throwIfAny();
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
    if (result.reason === 'duplicate-key') {
      await refuseTakenIdentifiers(planned, refusals, context, ports);
      refusals.throwIfAny();
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
 * and see the writes. A read that would fail refuses the whole; the fault has the issues of all entries that are refused. https://hl7.org/fhir/R4/http.html#transaction
 */
export async function transaction(
  entries: readonly unknown[],
  context: AccessContext,
  perform: Perform,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const refusals = openRefusals(ports.baseUrl);
  const parsed = parseEntries(entries, refusals, context, ports.baseUrl);
  const responses: string[] = new Array(entries.length);
  const writes = parsed.filter((entry) => !isRead(entry));
  const reads = parsed.filter(isRead);
  for (const { entry, planned } of await commitAll(writes, reads, refusals, context, ports)) {
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

import { authorise } from '../../cpis/access-policy.ts';
import { isTypeInteraction } from '../../cpis/interaction-table.ts';
import { membersOf, textOf } from '../../fhir/any-json.ts';
import { defined } from '../../fhir/defined.ts';
import { fault } from '../../fhir/fault.ts';
import type { AccessContext, FhirAnswer, Perform } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { isTurnOver, nextTurn } from '../yielding/in-turns.ts';
import { budgetReads } from './budget-reads.ts';
import {
  type BundleEntry,
  isRead,
  parseEntry,
  performEntry,
  renderAnsweredEntry,
  renderResponseBundle,
} from './bundle-entry.ts';
import { commitEntries } from './commit-entries.ts';
import { inEntry } from './plan-entries.ts';
import { openRefusals, type Refusals, type UndoneEntry } from './refusals.ts';

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
async function parseEntries(
  entries: readonly unknown[],
  refusals: Refusals,
  context: AccessContext,
  baseUrl: string,
): Promise<BundleEntry[]> {
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
    if (isTurnOver()) await nextTurn();
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
 * Performs a transaction: all writes or none, in one durable unit with an AuditEvent for each. The reads run afterwards
 * and see the writes. A read that would fail refuses the whole; the fault has the issues of all entries
 * that are refused. https://hl7.org/fhir/R4/http.html#transaction
 */
export async function transaction(
  entries: readonly unknown[],
  context: AccessContext,
  perform: Perform,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const refusals = openRefusals(ports.baseUrl);
  const parsed = await parseEntries(entries, refusals, context, ports.baseUrl);
  const responses: string[] = new Array(entries.length);
  const writes = parsed.filter((entry) => !isRead(entry));
  const reads = parsed.filter(isRead);
  for (const { entry, planned } of await commitEntries(writes, reads, refusals, context, ports)) {
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

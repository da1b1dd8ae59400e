import { FhirFault, fault } from '../../fhir/fault.ts';
import { recordRefusal } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest, Perform } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { inLanes } from '../yielding/run-groups.ts';
import { budgetReads } from './budget-reads.ts';
import { type BundleEntry, isRead, parseEntry, performEntry, rawOf, renderRefusedEntry } from './bundle-entry.ts';

/** How many records of one batch are worked on at once; their commits share an fsync. */
const concurrentLanes = 64;

interface Submitted {
  readonly subject?: { readonly reference?: unknown };
  readonly identifier?: readonly { readonly value?: unknown }[];
}

const patientReference = /(?:^|\/)(Patient\/[^/]+)$/;

/** Entries about the same patient depend on each other and run one after another; the Patient itself goes first. */
function laneOf(entry: BundleEntry): string {
  const { type, id, body } = entry.request;
  const { subject, identifier } = (body ?? {}) as Submitted;
  const reference = type === 'Patient' ? `Patient/${id ?? textOf(identifier?.[0]?.value)}` : textOf(subject?.reference);
  return patientReference.exec(reference)?.[1] ?? `#${entry.index}`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function buildLanes(entries: readonly BundleEntry[]): BundleEntry[][] {
  const lanes = new Map<string, BundleEntry[]>();
  for (const entry of entries) {
    const key = laneOf(entry);
    const lane = lanes.get(key);
    if (lane === undefined) lanes.set(key, [entry]);
    else lane.push(entry);
  }
  const isPatient = (entry: BundleEntry): number => (entry.request.type === 'Patient' ? 0 : 1);
  return [...lanes.values()].map((lane) => lane.sort((a, b) => isPatient(a) - isPatient(b) || a.index - b.index));
}

/**
 * batch: each entry on its own, audited on its own, answered in its place. Writes first, then reads.
 * https://hl7.org/fhir/R4/http.html#transaction
 */
export async function batch(
  entries: readonly unknown[],
  context: AccessContext,
  perform: Perform,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const responses: string[] = new Array(entries.length);
  const parsed: BundleEntry[] = [];
  /** Lanes whose Patient was refused: the plans of that record are refused with it. */
  const refusedPatients = new Set<string>();
  const performWrite = async (entry: BundleEntry): Promise<FhirAnswer> => {
    const { request } = entry;
    if (request.type === 'Flag' && refusedPatients.has(laneOf(entry))) {
      throw await recordRefusal(patientRefused(), request, context, ports);
    }
    try {
      return await perform(request, context);
    } catch (error) {
      const isForbidden = error instanceof FhirFault && error.category === 'forbidden';
      if (request.type === 'Patient' && !isForbidden) refusedPatients.add(laneOf(entry));
      throw error;
    }
  };
  const answerWith =
    (performed: (entry: BundleEntry) => Promise<FhirAnswer>) =>
    async (entry: BundleEntry): Promise<void> => {
      responses[entry.index] = await performEntry(entry, context, () => performed(entry), ports.baseUrl);
    };
  const refused: { index: number; error: unknown; request: FhirRequest }[][] = [];
  for (const [index, entry] of entries.entries()) {
    try {
      parsed.push(parseEntry(entry, index, ports.baseUrl));
    } catch (error) {
      refused.push([{ index, error, request: { interaction: 'batch', query: [], raw: rawOf(entry) } }]);
    }
  }
  await inLanes(refused, concurrentLanes, async ({ index, error, request }) => {
    responses[index] = renderRefusedEntry({ index, request }, await recordRefusal(error, request, context, ports));
  });
  await inLanes(buildLanes(parsed.filter((entry) => !isRead(entry))), concurrentLanes, answerWith(performWrite));
  const reads = parsed.filter(isRead).map((entry) => [entry]);
  const performRead = budgetReads(perform, ports);
  await inLanes(
    reads,
    concurrentLanes,
    answerWith(({ request }) => performRead(request, context)),
  );
  return { kind: 'ok', body: renderResponseBundle('batch-response', responses) };
}

function patientRefused(): FhirFault {
  return fault('unprocessable', 'The Patient of this record was refused, and its plan with it.', {
    code: 'business-rule',
    expression: ['Flag.subject'],
  });
}

/** A response Bundle of rendered entries. */
export function renderResponseBundle(
  type: 'batch-response' | 'transaction-response',
  entries: readonly string[],
): string {
  const list = entries.length === 0 ? '' : `,"entry":[${entries.join(',')}]`;
  return `{"resourceType":"Bundle","type":"${type}"${list}}`;
}

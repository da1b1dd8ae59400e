import { membersOf } from '../../fhir/any-json.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import { recordRefusal } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest, Perform } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { commitWrite } from '../write/commit-write.ts';
import { patientRefused } from '../write/plan-flag-write.ts';
import { isTurnOver, nextTurn } from '../yielding/in-turns.ts';
import { runGroups } from '../yielding/run-groups.ts';
import { budgetReads } from './budget-reads.ts';
import {
  type BundleEntry,
  isRead,
  parseEntry,
  performEntry,
  rawOf,
  renderRefusedEntry,
  renderResponseBundle,
} from './bundle-entry.ts';
import { commitEntries } from './commit-entries.ts';
import { patientKeyOf } from './patient-key.ts';
import { isRefusal, openRefusals } from './refusals.ts';

/** Maximum patients of one batch that are worked on at the same time; their commits share an fsync. */
const maxConcurrentGroups = 64;

/** Returns true if the request updates a plan to one that is ended or withdrawn. */
function endsByUpdate({ interaction, body }: FhirRequest): boolean {
  const { status } = membersOf(body);
  return interaction === 'update' && (status === 'inactive' || status === 'entered-in-error');
}

/** Returns a key that the entries about the same patient have in common. */
function groupOf({ index, request }: BundleEntry): string {
  return patientKeyOf(request) ?? `#${index}`;
}

/**
 * Groups the entries by patient, and puts the Patient first because its plans refer to it. The entries of a group run
 * one after another.
 */
function groupByPatient(entries: readonly BundleEntry[]): BundleEntry[][] {
  const isPatient = (entry: BundleEntry): number => (entry.request.type === 'Patient' ? 0 : 1);
  const groups = Map.groupBy(entries, groupOf).values();
  return [...groups].map((group) => group.sort((a, b) => isPatient(a) - isPatient(b) || a.index - b.index));
}

/**
 * Performs a batch: each entry is performed, audited and answered independently. Writes come before reads.
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
  /** Groups whose Patient was refused; their plans are refused as well, unless they end or withdraw a recorded plan. */
  const refusedPatients = new Set<string>();
  /** Groups whose Patient failed in passing; their plans are not tried, so that the client repeats both. */
  const failedPatients = new Map<string, unknown>();
  /** Answers of records whose Patient and plans could only be stored together. */
  const together = new Map<BundleEntry, FhirAnswer>();
  const plansBeside = (patient: BundleEntry): BundleEntry[] =>
    parsed.filter((entry) => entry.request.type === 'Flag' && !isRead(entry) && groupOf(entry) === groupOf(patient));
  /** Stores a Patient. If it is refused, its plans are tried with it: they may correct what stood against it. */
  const performPatient = async (entry: BundleEntry): Promise<FhirAnswer> => {
    try {
      return await commitWrite(entry.request, context, ports);
    } catch (error) {
      const record = isRefusal(error) && error.category === 'unprocessable' ? [entry, ...plansBeside(entry)] : [];
      if (record.length > 1) {
        try {
          const done = await commitEntries(record, [], openRefusals(ports.baseUrl), context, ports);
          for (const { entry: each, planned } of done) together.set(each, planned.answer);
        } catch (other) {
          if (!isRefusal(other)) throw await recordRefusal(other, entry.request, context, ports);
        }
      }
      const answer = together.get(entry);
      if (answer !== undefined) return answer;
      throw await recordRefusal(error, entry.request, context, ports);
    }
  };
  const performWrite = async (entry: BundleEntry): Promise<FhirAnswer> => {
    const { request } = entry;
    const done = together.get(entry);
    if (done !== undefined) return done;
    if (request.type === 'Flag' && failedPatients.has(groupOf(entry))) {
      const failed = patientFailed(failedPatients.get(groupOf(entry)));
      if (!endsByUpdate(request)) throw failed;
      // A plan ends and is withdrawn all the same. A refusal may be due to the Patient alone.
      return perform({ ...request, amendsOnly: true }, context).catch((error: unknown) =>
        Promise.reject(isRefusal(error) ? failed : error),
      );
    }
    if (request.type === 'Flag' && refusedPatients.has(groupOf(entry))) {
      if (!endsByUpdate(request)) throw await recordRefusal(patientRefused(), request, context, ports);
      return perform({ ...request, amendsOnly: true }, context);
    }
    try {
      return request.type === 'Patient' ? await performPatient(entry) : await perform(request, context);
    } catch (error) {
      const isForbidden = error instanceof FhirFault && error.category === 'forbidden';
      if (request.type === 'Patient' && !isRefusal(error)) failedPatients.set(groupOf(entry), error);
      else if (request.type === 'Patient' && !isForbidden) refusedPatients.add(groupOf(entry));
      throw error;
    }
  };
  const answerWith =
    (performed: (entry: BundleEntry) => Promise<FhirAnswer>) =>
    async (entry: BundleEntry): Promise<void> => {
      if (isTurnOver()) await nextTurn();
      responses[entry.index] = await performEntry(entry, context, () => performed(entry), ports.baseUrl);
    };
  const refused: { index: number; error: unknown; request: FhirRequest }[][] = [];
  for (const [index, entry] of entries.entries()) {
    if (isTurnOver()) await nextTurn();
    try {
      parsed.push(parseEntry(entry, index, ports.baseUrl));
    } catch (error) {
      refused.push([{ index, error, request: { interaction: 'batch', query: [], raw: rawOf(entry) } }]);
    }
  }
  await runGroups(refused, maxConcurrentGroups, async ({ index, error, request }) => {
    if (isTurnOver()) await nextTurn();
    responses[index] = renderRefusedEntry({ index, request }, await recordRefusal(error, request, context, ports));
  });
  await runGroups(
    groupByPatient(parsed.filter((entry) => !isRead(entry))),
    maxConcurrentGroups,
    answerWith(performWrite),
  );
  const reads = parsed.filter(isRead);
  const budgeted = budgetReads(perform, ports);
  const performRead = answerWith(({ request }) => budgeted(request, context));
  const short = reads.filter((entry) => !isLongRead(entry)).map((entry) => [entry]);
  await runGroups(short, maxConcurrentGroups, performRead);
  for (const entry of reads.filter(isLongRead)) await performRead(entry);
  return { kind: 'ok', body: renderResponseBundle('batch-response', responses) };
}

/** Returns true for a read that may answer with a long page. Several at once would hold the event loop. */
function isLongRead({ request: { type, interaction } }: BundleEntry): boolean {
  return type === 'AuditEvent' || interaction.startsWith('history-');
}

/** Returns the fault of a plan that was not tried because its Patient failed in passing. */
function patientFailed(cause: unknown): FhirFault {
  return fault(
    'transient',
    'The plan was not tried because the Patient of the same record could not be stored at present. ' +
      'Repeat both after Retry-After.',
    {
      expression: ['Flag.subject'],
      retryAfterS: cause instanceof FhirFault ? cause.retryAfterS : undefined,
      cause,
    },
  );
}

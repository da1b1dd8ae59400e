import type { Bundle } from 'fhir/r4.js';
import { londonDate } from '../../cpis/london-date.ts';
import { type BackOffOptions, type Failure, GaveUp, withBackOff } from '../client/back-off.ts';
import { type ServerSession, serverUnusable } from '../client/server-session.ts';
import { CommandError } from '../terminal/command-line.ts';
import { buildBatch } from './build-batch.ts';
import type { Journal } from './journal.ts';
import { type Extract, readRows } from './open-extract.ts';
import { type ExtractedPlan, readPlan, type UnfitRecord } from './read-plan.ts';
import { lacksDemographics, type RecordResult, readRecordResponse } from './record-response.ts';

export interface SubmissionOptions {
  readonly file: string;
  readonly extract: Extract;
  readonly referenceSystem: string;
  readonly batchSize: number;
  readonly session: ServerSession;
  readonly journal: Journal;
  readonly backOff: BackOffOptions;
  readonly onProgress: () => void;
}

interface Candidate {
  readonly place: Pick<RecordResult, 'record' | 'reference'>;
  readonly plan: ExtractedPlan | UnfitRecord;
}

/** Streams the records of an extract, each as a plan to send or with the reason why it cannot be sent. */
export async function* readCandidates(file: string, extract: Extract): AsyncGenerator<Candidate> {
  const seen = new Map<string, number>();
  let record = -1;
  for await (const row of readRows(file)) {
    record += 1;
    if (record > 0) yield readCandidate(row, record, extract, seen);
  }
}

/**
 * Sends every record that has no result in the journal, in order. Rejects with CommandError if the server
 * still fails when the time for retries is over, or refuses a whole batch.
 */
export async function runSubmission(options: SubmissionOptions): Promise<void> {
  const { file, extract, journal, batchSize, backOff, onProgress } = options;
  const known = journal.results.length;
  let batch: Candidate[] = [];
  async function flush(): Promise<void> {
    journal.append(await submitBatch(batch, options));
    batch = [];
    onProgress();
  }
  for await (const candidate of readCandidates(file, extract)) {
    if (candidate.place.record <= known) continue;
    backOff.signal.throwIfAborted();
    if (batch.length >= batchSize || contradicts(candidate, batch)) await flush();
    batch.push(candidate);
  }
  if (batch.length > 0) await flush();
}

/**
 * Reads one record, with everything that is wrong with it. `seen` maps references to records, because a repeated reference
 * would overwrite the first plan.
 */
function readCandidate(row: readonly string[], record: number, extract: Extract, seen: Map<string, number>): Candidate {
  const plan = readPlan(row, extract.places, londonDate(Date.now()));
  const { reference } = plan;
  const place = { record, reference };
  const response = 'reason' in plan ? plan.response : 'CPR07';
  const unfit = (reasons: readonly string[]): Candidate => ({
    place,
    plan: { reference, response, reason: reasons.join('; ') },
  });
  // Its cells may be in other columns, so nothing else is said of it.
  if (row.length !== extract.width) {
    return {
      place,
      plan: {
        reference,
        response: 'CPR07',
        reason: `the record has ${row.length} fields but the header has ${extract.width}`,
      },
    };
  }
  const first = seen.get(reference);
  if (first !== undefined && reference !== '') {
    return unfit([`the reference is also that of record ${first}`, ...('reason' in plan ? [plan.reason] : [])]);
  }
  seen.set(reference, record);
  return { place, plan };
}

/**
 * Returns whether a record states other details of a child than the batch. It then goes into the next batch, because
 * the server would refuse all plans on this child in a batch with a wrong Patient.
 */
function contradicts({ plan }: Candidate, batch: readonly Candidate[]): boolean {
  if ('reason' in plan) return false;
  return batch.some(
    ({ plan: other }) =>
      'nhsNumber' in other &&
      other.nhsNumber === plan.nhsNumber &&
      (other.birthDate !== plan.birthDate ||
        other.familyName !== plan.familyName ||
        other.givenNames.join(' ') !== plan.givenNames.join(' ')),
  );
}

const isOpen = ({ end, withdrawn }: ExtractedPlan): boolean => end === undefined && !withdrawn;

async function submitBatch(batch: readonly Candidate[], options: SubmissionOptions): Promise<RecordResult[]> {
  const results = new Map<number, RecordResult>();
  const open = new Map<number, { readonly place: Candidate['place']; readonly plan: ExtractedPlan }>();
  for (const { place, plan } of batch) {
    if (!('reason' in plan)) open.set(place.record, { place, plan });
    else {
      const { response, reason: explanation } = plan;
      results.set(place.record, { ...place, response, action: 'not sent', explanation, flag: '', version: '' });
    }
  }

  /** Sends the open records once. A record with a transient failure stays open. */
  async function sendOpen(): Promise<{ readonly done: true } | Failure> {
    // A plan that ends makes room for the next one of the same kind on the child.
    const sent = [...open.values()].sort((a, b) => Number(isOpen(a.plan)) - Number(isOpen(b.plan)));
    const bundle = await post(
      sent.map(({ plan }) => plan),
      options,
    );
    for (const [index, { place }] of sent.entries()) {
      const reading = readRecordResponse(bundle.entry?.[2 * index], bundle.entry?.[2 * index + 1]);
      if (reading === 'again') continue;
      results.set(place.record, { ...place, ...reading });
      open.delete(place.record);
    }
    if (open.size === 0) return { done: true };
    const why = lacksDemographics(bundle.entry ?? [])
      ? ', because it cannot reach the demographics service (CPF05)'
      : '';
    return { reason: `the server could not store ${open.size} of the records${why}` };
  }

  try {
    if (open.size > 0) await withBackOff(sendOpen, options.backOff);
  } catch (error) {
    if (!(error instanceof GaveUp)) throw error;
    throw new CommandError(`Stopped: ${error.message}. Run the same command to continue.`, serverUnusable);
  }
  return batch.flatMap(({ place }) => results.get(place.record) ?? []);
}

async function post(plans: readonly ExtractedPlan[], options: SubmissionOptions): Promise<Bundle> {
  const { session, referenceSystem, backOff } = options;
  const { status, body } = await session.request('POST', '', buildBatch(plans, referenceSystem), backOff);
  const bundle = (body ?? {}) as Bundle;
  if (status === 200 && bundle.type === 'batch-response' && bundle.entry?.length === 2 * plans.length) return bundle;
  const hint = status === 413 ? ' Set a smaller --batch-size.' : '';
  throw new CommandError(`Stopped: the server refused a whole batch with status ${status}.${hint}`, serverUnusable);
}

/** Plans all writes of a transaction, and finds every entry that refuses it. */
import type { Flag } from 'fhir/r4.js';
import { checkPlan } from '../../cpis/check-plan.ts';
import { extractPlan } from '../../cpis/plan.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { overlayView, storeView } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { checkResource, refuseErrors } from '../write/check-resource.ts';
import { planWrite } from '../write/commit-write.ts';
import type { PlannedWrite } from '../write/planned-write.ts';
import { isTurnOver, nextTurn } from '../yielding/in-turns.ts';
import { type BundleEntry, issuesInBundle } from './bundle-entry.ts';
import { checkRead } from './check-read.ts';
import { resolveConditionalReferences } from './conditional-references.ts';
import type { Refusals } from './refusals.ts';
import { replaceReferences } from './replace-references.ts';

export interface PlannedEntry {
  readonly entry: BundleEntry;
  readonly planned: PlannedWrite;
}

/** Runs `act`, and moves the issues of a fault that it throws under the entry. */
export function inEntry<T>(entry: BundleEntry, act: () => T): T {
  const move = (error: unknown): unknown =>
    error instanceof FhirFault ? error.withIssues(issuesInBundle(error.issues, entry)) : error;
  try {
    const result = act();
    return result instanceof Promise ? (result.catch((error) => Promise.reject(move(error))) as T) : result;
  } catch (error) {
    throw move(error);
  }
}

function locationOf({ location }: FhirAnswer): string | undefined {
  return location?.split('/_history/')[0];
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

/** Builds the check that no two entries write the same thing. */
function refuseSameTwice(): (entry: BundleEntry, request: FhirRequest, planned: PlannedWrite) => void {
  const written = new Set<string>();
  const conditions = new Set<string>();
  const keys = new Set<string>();
  const claim = (claimed: Set<string>, key: string, category: 'invalid' | 'conflict', text: string, at: string) => {
    if (claimed.has(key)) throw fault(category, text, { expression: [at] });
    claimed.add(key);
  };
  return ({ index }, request, planned) => {
    const at = `Bundle.entry[${index}]`;
    for (const identity of identitiesOf(request, planned)) {
      const text = 'This entry writes the same resource as another entry. Send one of them in another Bundle.';
      claim(written, identity, 'invalid', text, at);
    }
    for (const { type, ifNoneExist, uniqueKeys } of planned.writes) {
      if (ifNoneExist !== undefined) {
        const text = 'This entry is created under the same condition as another entry. Create the resource once.';
        claim(conditions, JSON.stringify([type, ifNoneExist.clauses]), 'invalid', text, `${at}.request`);
      }
      for (const key of uniqueKeys) {
        const text = 'Another entry has the same identifier. Give each plan its own.';
        claim(keys, key, 'conflict', text, `${at}.resource.identifier`);
      }
    }
  };
}

/** Checks what a submitted plan shows by itself, if the entry of its Patient was refused. */
async function checkAlone({ type, body, interaction }: FhirRequest, ports: InteractionPorts): Promise<void> {
  if (type !== 'Flag' || (interaction !== 'create' && interaction !== 'update')) return;
  const flag = await checkResource<Flag>(body, 'Flag', ports);
  refuseErrors(checkPlan(extractPlan(flag), undefined, visibilityRule(ports).today));
}

/**
 * Plans all writes, and checks that no read would fail after them, because one failing entry fails the transaction. Each
 * entry that is refused is added to `refusals`; one that only depends on a refused entry is not.
 */
export async function planEntries(
  entries: readonly BundleEntry[],
  reads: readonly BundleEntry[],
  newIds: ReadonlyMap<number, string>,
  refusals: Refusals,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<PlannedEntry[]> {
  const view = overlayView(storeView(ports.store));
  const locations = new Map<string, string>();
  const refuseTwice = refuseSameTwice();
  const planned: PlannedEntry[] = [];

  async function planEntry(entry: BundleEntry): Promise<void> {
    const conditional = await inEntry(entry, () => resolveConditionalReferences(entry.request.body, context, ports));
    const body = replaceReferences(entry.request.body, new Map([...locations, ...conditional]));
    const request = body === undefined ? entry.request : { ...entry.request, body };
    if (refusals.isNeededBy(request)) {
      refusals.leaveUndone({ ...entry, request });
      await inEntry(entry, () => checkAlone(request, ports));
      return;
    }
    try {
      const done = await inEntry(entry, () => planWrite(request, context, view, ports, newIds.get(entry.index) ?? ''));
      refuseTwice(entry, request, done);
      view.add(done.writes, done.guards);
      const location = locationOf(done.answer);
      if (entry.fullUrl !== undefined && location !== undefined) locations.set(entry.fullUrl, location);
      planned.push({ entry, planned: done });
    } catch (error) {
      // A plan may conflict with one that a refused entry would have ended.
      const follows = error instanceof FhirFault && error.category === 'conflict' && refusals.hasPatientOf(request);
      refusals.leaveUndone({ ...entry, request });
      if (!follows) throw error;
    }
  }

  /** Acts on each, and collects the refusals. */
  async function each<T>(list: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
    for (const one of list) {
      if (refusals.isFull) return;
      if (isTurnOver()) await nextTurn();
      await act(one).catch((error: unknown) => refusals.add(error));
    }
  }

  await each(entries, planEntry);
  await each(planned, async ({ entry, planned: { check } }) => {
    // What a refused entry leaves undone may be what the check needs.
    if (check !== undefined && !refusals.hasPatientOf(entry.request)) await inEntry(entry, () => check(view));
  });
  await each(reads, async (entry) => {
    if (!refusals.isNeededBy(entry.request)) {
      await inEntry(entry, () => checkRead(entry.request, context, view, ports));
    }
  });
  return planned;
}

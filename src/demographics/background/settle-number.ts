import type { Patient } from 'fhir/r4.js';
import { linkedNumbers } from '../../cpis/linked-numbers.ts';
import { recordNumberEvent } from '../../cpis/number-event-record.ts';
import { type Replacement, replacementOf, withoutReplacement, withReplacement } from '../../cpis/number-labels.ts';
import { isHeld, type Plan, parsePlan } from '../../cpis/plan.ts';
import { childType, statementType } from '../../cpis/statement.ts';
import { isVisible, type VisibilityRule } from '../../cpis/visibility.ts';
import { searchAll } from '../../store/search-all.ts';
import type { AuditWrite, ResourceWrite, RevisionGuard, Store, StoredResource } from '../../store/store.ts';
import { compareTrace } from '../compare-person.ts';
import type { Trace } from '../demographics.ts';
import { statedDetails } from '../stated-details.ts';
import { decideNumber } from './decide-number.ts';

/** What became of a held number, for the log and the metrics. */
type NumberFinding = 'replaced' | 'inactive' | 'sensitive' | 'loop' | 'unlike';

/** What the review of a child record changes, and what to call once that is durable. */
interface NumberReview {
  readonly labels: readonly string[];
  readonly audits: readonly AuditWrite[];
  readonly settled: () => void;
}

export interface SettleNumberOptions {
  readonly store: Pick<Store, 'search' | 'read' | 'commit'>;
  /** Builds the first version of a child record. */
  readonly buildChild: (number: string) => ResourceWrite;
  readonly newAuditId: () => string;
  readonly baseUrl: string;
  /** Returns epoch milliseconds. */
  readonly now: () => number;
  readonly rule: () => VisibilityRule;
  /** Reviews the conflict of details of a child record with these labels, which hold what the service said. */
  readonly review: (number: string, labels: readonly string[]) => Promise<NumberReview>;
  /** Called after each commit with the AuditEvents that became durable. */
  readonly committed: (audits: readonly AuditWrite[]) => void;
  readonly onFinding: (finding: NumberFinding) => void;
}

/** Maximum times that one number is looked at again because others keep changing it. */
const maxRounds = 100;

/** Returns the authorities with a plan on the number that is open, or that NHS staff still see. */
export async function findHolders(
  number: string,
  { store, rule }: Pick<SettleNumberOptions, 'store' | 'rule'>,
): Promise<readonly string[]> {
  const flags = await searchAll(store, {
    type: 'Flag',
    clauses: [{ kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: number }] }],
  });
  const counts = (plan: Plan): boolean => isHeld(plan) && (plan.end === undefined || isVisible(plan, rule()));
  return [
    ...new Set(
      flags
        .map(parsePlan)
        .filter(counts)
        .map(({ authorityId }) => authorityId),
    ),
  ].sort();
}

/**
 * Makes the answer about a held number durable: the labels of the child records and the events of the holders with their
 * deliveries, in one unit. Several servers may do so at once: one of them commits, the others find nothing left to do.
 */
export async function settleNumber(
  number: string,
  trace: Exclude<Trace, { kind: 'unavailable' }>,
  options: SettleNumberOptions,
): Promise<void> {
  const { store, rule, committed, onFinding } = options;
  for (let round = 0; round < maxRounds; round += 1) {
    const children = new Map<string, StoredResource | undefined>();
    const childOf = async (each: string): Promise<StoredResource | undefined> => {
      if (!children.has(each)) {
        const read = await store.read(childType, each);
        children.set(each, read.kind === 'found' ? read.resource : undefined);
      }
      return children.get(each);
    };
    const labelsOf = async (each: string): Promise<readonly string[]> => (await childOf(each))?.labels ?? [];
    const own = await childOf(number);
    // A number that nobody has submitted matters only if it leads to one with plans.
    const leads = trace.kind === 'superseded' && (await findHolders(trace.person.number, options)).length > 0;
    if (own === undefined && !leads) return;
    const isLoop = trace.kind === 'superseded' && (await leadsTo(trace.person.number, number, labelsOf));
    const isLike = trace.kind === 'superseded' && (await isLikeStated(number, trace, options));
    const decision = decideNumber(number, own?.labels ?? [], trace, rule().today, { isLoop, isLike });
    const { removed, added, event, isSensitive, isUnlike } = decision;
    const reviewed = await options.review(number, decision.labels);
    const { labels } = reviewed;
    const changed = new Map([[number, added === undefined ? labels : withReplacement(labels, added)]]);
    for (const each of removed) changed.set(each.to, withoutReplacement(await labelsOf(each.to), each));
    if (added !== undefined) {
      changed.set(added.to, withReplacement(changed.get(added.to) ?? (await labelsOf(added.to)), added));
    }
    const holders = event === undefined ? [] : await findHolders(number, options);
    const events = holders.map((authorityId) => buildEvent(authorityId, number, added, options));
    const audits = [...events, ...reviewed.audits];
    const writes = [...changed]
      .filter(([each]) => children.get(each) === undefined)
      .map(([each, added]) => ({ ...options.buildChild(each), labels: added }));
    const guards = [...changed].flatMap(([id, next]): RevisionGuard[] => {
      const child = children.get(id);
      return child === undefined ? [] : [{ type: childType, id, expectRevision: child.revision, labels: next }];
    });
    const result = await store.commit({ writes, guards, audits });
    if (result.kind !== 'committed') continue;
    committed(audits);
    reviewed.settled();
    if (event !== undefined && holders.length > 0) onFinding(event);
    if (isSensitive) onFinding('sensitive');
    if (isLoop) onFinding('loop');
    if (isUnlike) onFinding('unlike');
    return;
  }
  throw new Error('a child record kept changing while its number was settled');
}

/**
 * Returns true if the birth date or a name of the record that replaced a number is what a holder states of the child, so that
 * a wrong answer does not show the plans of one child for another. Without a plan on the number, those on the new one count.
 */
async function isLikeStated(
  number: string,
  trace: Extract<Trace, { kind: 'superseded' }>,
  options: SettleNumberOptions,
): Promise<boolean> {
  for (const each of [number, trace.person.number]) {
    const holders = await findHolders(each, options);
    for (const authorityId of holders) {
      const stated = await options.store.read(statementType(authorityId), each);
      if (stated.kind !== 'found') continue;
      const match = compareTrace(statedDetails(JSON.parse(stated.resource.body) as Patient, each), trace);
      if (match.kind === 'compared' && (match.birthDate === 'agrees' || match.nameAgrees)) return true;
    }
    if (holders.length > 0) return false;
  }
  // Nobody sees a link without plans.
  return true;
}

/** Returns true if replacements that are known lead from one number to another. */
async function leadsTo(
  from: string,
  to: string,
  labelsOf: (number: string) => Promise<readonly string[]>,
): Promise<boolean> {
  let at: string | undefined = from;
  const numbers = await linkedNumbers(from, labelsOf);
  for (let step = 0; step <= numbers.length && at !== undefined; step += 1) {
    if (at === to) return true;
    at = replacementOf(at, await labelsOf(at));
  }
  return false;
}

function buildEvent(
  authorityId: string,
  number: string,
  added: Replacement | undefined,
  { newAuditId, now, baseUrl }: SettleNumberOptions,
): AuditWrite {
  const event = { id: newAuditId(), recordedMs: now(), authorityId, number, newNumber: added?.to };
  return recordNumberEvent(event, baseUrl);
}

/** Shows plans to NHS staff as the life cycle has them today. */
import { createHash } from 'node:crypto';
import type { Flag } from 'fhir/r4.js';
import { dueDateLabel, lastDayLabelled } from '../../cpis/labels.ts';
import { dueDateExtension, parsePlan } from '../../cpis/plan.ts';
import { narrowsKinds } from '../../cpis/plan-search.ts';
import { showPlan, type VisibilityRule, visibilityClauses } from '../../cpis/visibility.ts';
import { fault } from '../../fhir/fault.ts';
import type { KeysetPosition, SearchPlan, SortKey } from '../../fhir/search/ast.ts';
import { type Candidate, searchInMemory } from '../../fhir/search/search-in-memory.ts';
import { compareBy, positionOf } from '../../fhir/search/sort.ts';
import type { SearchResult, StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { searchFlagsOf } from './view.ts';
import { visibilityRule } from './visibility-rule.ts';

/**
 * Returns a stored Flag as NHS staff see it, or undefined if they do not see it. It is the same object unless the life
 * cycle has ended the plan since it was stored, or it holds the expected date of delivery, which is the authority's own.
 */
export function showFlag(flag: StoredResource, rule: VisibilityRule): StoredResource | undefined {
  const plan = parsePlan(flag);
  const shown = showPlan(plan, rule);
  if (shown === undefined) return undefined;
  if (shown.end === plan.end && plan.dueDate === undefined) return flag;
  // Without its version, because this is not the content of that version, and a client must not validate against it.
  const { extension = [], meta: _, ...stored } = JSON.parse(flag.body) as Flag;
  const others = extension.filter(({ url }) => url !== dueDateExtension);
  const body: Flag = {
    ...stored,
    ...(others.length === 0 ? {} : { extension: others }),
    ...(shown.end === undefined ? {} : { status: 'inactive', period: { ...stored.period, end: shown.end } }),
  };
  return { ...flag, body: JSON.stringify(body) };
}

/** Shows Flags that meet the visibility clauses. Most are shown as stored, which their labels tell without parsing them. */
function showAll(flags: readonly StoredResource[], rule: VisibilityRule): readonly StoredResource[] {
  return flags.flatMap((flag) => {
    const lastDay = lastDayLabelled(flag.labels);
    const isAsStored = lastDay !== undefined && lastDay >= rule.today && !flag.labels.includes(dueDateLabel);
    return isAsStored ? flag : (showFlag(flag, rule) ?? []);
  });
}

/** Returns all Flags of a patient, under any of these NHS numbers, that NHS staff see. */
export async function findShownFlags(
  patientIds: readonly string[],
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  const rule = visibilityRule(ports);
  return showAll(await searchFlagsOf(ports.store, patientIds, visibilityClauses(rule)), rule);
}

/** A page of plans as NHS staff see them, and all plans of the patient that they see, from the same read. */
export interface ShownPlans {
  readonly result: SearchResult;
  readonly visible: readonly StoredResource[];
}

/**
 * Searches the plans of one patient for NHS staff. Page, order and total are those of the plans as they are shown, so a plan
 * that the life cycle has ended or hidden since it was stored is counted as such. Throws `gone` for a later page if a plan
 * has moved in the order since the first one, because it would be left out.
 */
export async function searchShownFlags(
  plan: SearchPlan,
  patientIds: readonly string[],
  ports: InteractionPorts,
): Promise<ShownPlans> {
  const rule = visibilityRule(ports);
  if (plan.after === undefined && plan.limit > 0 && !narrowsKinds(plan.clauses)) {
    const result = await ports.store.search(plan);
    const shown = showAll(result.matches, rule);
    const isAsStored = shown.length === result.matches.length && shown.every((flag, at) => flag === result.matches[at]);
    if (isAsStored && result.next === undefined) {
      return { result: { ...result, total: shown.length }, visible: shown };
    }
  }
  const visible = await findShownFlags(patientIds, ports);
  const candidates = visible.map((resource) => ({ resource, values: ports.extract(JSON.parse(resource.body)) }));
  const [firstPageMs, passed] = plan.after?.slice(plan.sort.length + 1) ?? [];
  const startMs = typeof firstPageMs === 'number' ? firstPageMs : ports.clock();
  const passedBy = (end: KeysetPosition): string => describePassed(candidates, plan.sort, end, startMs);
  if (plan.after !== undefined && passed !== passedBy(plan.after)) {
    throw fault('gone', 'The plans of this patient have changed since the first page. Start the search again.', {
      code: 'expired',
      expression: ['_cursor'],
    });
  }
  const result = searchInMemory({ ...plan, total: true }, candidates);
  // What follows the position in a cursor is no part of the order.
  const next = result.next === undefined ? undefined : [...result.next, startMs, passedBy(result.next)];
  return { result: { ...result, next }, visible };
}

/**
 * Returns a digest of the plans on the pages up to `end`, without those that were created after the first page. It changes
 * if a plan has moved past `end` since.
 */
function describePassed(
  candidates: readonly Candidate<StoredResource>[],
  sort: readonly SortKey[],
  end: KeysetPosition,
  startMs: number,
): string {
  const ids = candidates
    .filter(({ resource: { version, lastUpdatedMs } }) => version > 1 || lastUpdatedMs <= startMs)
    .filter(({ resource: { id, lastUpdatedMs }, values }) => {
      return compareBy(sort, positionOf(sort, { id, lastUpdatedMs, values }), end) <= 0;
    })
    .map(({ resource }) => resource.id);
  return createHash('sha256').update(ids.sort().join()).digest('base64url');
}

/** Shows plans to NHS staff as the life cycle has them today. */
import type { Flag } from 'fhir/r4.js';
import { dueDateLabel, lastDayLabelled } from '../../cpis/labels.ts';
import { dueDateExtension, parsePlan } from '../../cpis/plan.ts';
import { showPlan, type VisibilityRule, visibilityClauses } from '../../cpis/visibility.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import { searchInMemory } from '../../fhir/search/search-in-memory.ts';
import { searchAll } from '../../store/search-all.ts';
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

/** Returns all Flags of a patient that NHS staff see. */
export async function findShownFlags(patientId: string, ports: InteractionPorts): Promise<readonly StoredResource[]> {
  const rule = visibilityRule(ports);
  return showAll(await searchFlagsOf(ports.store, patientId, visibilityClauses(rule)), rule);
}

/**
 * Searches the plans of one patient for NHS staff. Page, order and total are those of the plans as they are shown, so a plan
 * that the life cycle has ended or hidden since it was stored is counted as such.
 */
export async function searchShownFlags(plan: SearchPlan, ports: InteractionPorts): Promise<SearchResult> {
  const rule = visibilityRule(ports);
  if (plan.after === undefined && plan.limit > 0) {
    const result = await ports.store.search(plan);
    const shown = showAll(result.matches, rule);
    const isAsStored = shown.length === result.matches.length && shown.every((flag, at) => flag === result.matches[at]);
    if (isAsStored && result.next === undefined) return result;
  }
  const all = showAll(await searchAll(ports.store, plan), rule);
  return searchInMemory(
    plan,
    all.map((resource) => ({ resource, values: ports.extract(JSON.parse(resource.body)) })),
  );
}

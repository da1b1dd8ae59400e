import { nameHistoryPatient } from '../../cpis/access-history.ts';
import { authorise, narrow } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { narrowsKinds } from '../../cpis/plan-search.ts';
import { renderSearchset, type SearchsetEntry } from '../../fhir/bundle/searchset.ts';
import { fault } from '../../fhir/fault.ts';
import { renderOperationOutcome } from '../../fhir/operation-outcome.ts';
import type { SearchPlan, SearchQuery, TotalMode } from '../../fhir/search/ast.ts';
import { nameParameter } from '../../fhir/search/parameter-name.ts';
import { type Shape, takeShape } from '../../fhir/shape/shape.ts';
import type { SearchResult } from '../../store/store.ts';
import { recordAccess } from '../audit/record-access.ts';
import { directoryOf, searchAnywhere } from '../directory/directory.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { findLinkedNumbers } from '../resource/find-linked-numbers.ts';
import { predecessorsOn } from '../resource/inherited-events.ts';
import { openPage, renderPageLinks } from '../resource/page-links.ts';
import { showResource } from '../resource/present-resource.ts';
import { findShownFlags, type ShownPlans, searchShownFlags } from '../resource/shown-plans.ts';
import { onPatients } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { mapInTurns } from '../yielding/in-turns.ts';
import {
  isPatientClause,
  namedPatient,
  parseCallerSearch,
  refuseMissing,
  requirePatient,
} from './allowed-parameters.ts';
import { findIncluded } from './find-included.ts';
import { renderIgnored } from './ignored-parameters.ts';
import { looksUpPlans, warnOfPlans } from './plan-warnings.ts';
import { resolveLinked } from './resolve-linked.ts';
import { describeSearchAccess } from './search-access.ts';

/** Maximum length of a page of AuditEvents, in characters. It bounds the time to render and send it. */
const maxAuditPageLength = 4_000_000;

/** Returns the authorities whose access history of the one patient of this search the caller's authority took over. */
async function predecessorsOf(
  { clauses }: SearchQuery,
  { role, organisation }: Caller,
  ports: InteractionPorts,
): Promise<readonly string[]> {
  const patientId = role === 'authority' ? namedPatient(clauses) : undefined;
  return patientId === undefined ? [] : predecessorsOn([patientId], organisation.id, ports);
}

function planSearch(
  query: SearchQuery,
  context: AccessContext,
  predecessors: readonly string[],
  ports: InteractionPorts,
): SearchPlan {
  const { caller } = context;
  const after = openPage(query, caller, ports);
  const plan = {
    type: query.type,
    clauses: [...query.clauses, ...narrow(caller, query.type, visibilityRule(ports), predecessors)],
    sort: query.sort,
    limit: query.summary === 'count' ? 0 : (query.count ?? ports.searchDefaultCount),
    total: query.summary === 'count' || query.count === 0,
    ...(query.type === 'AuditEvent' ? { maxLength: maxAuditPageLength } : {}),
  };
  return after === undefined ? plan : { ...plan, after };
}

async function find(plan: SearchPlan, mode: TotalMode | undefined, ports: InteractionPorts): Promise<SearchResult> {
  // Counting all AuditEvents of an authority would cost more than the page, so that `Bundle.total` has to be asked for.
  const counts = mode === undefined ? plan.type !== 'AuditEvent' : mode !== 'none';
  if (plan.total || plan.after !== undefined) return searchAnywhere(counts ? { ...plan, total: true } : plan, ports);
  const result = await searchAnywhere(plan, ports);
  if (mode === 'none') return result;
  if (result.next === undefined) return { ...result, total: result.matches.length };
  if (!counts) return result;
  const { total } = await searchAnywhere({ ...plan, limit: 0, total: true }, ports);
  return { ...result, total };
}

/** Returns the NHS numbers of the patient that NHS staff name, the named one first; none for any other search. */
async function findPatientIds(query: SearchQuery, caller: Caller, ports: InteractionPorts): Promise<readonly string[]> {
  if (caller.role !== 'care-provider' || directoryOf(query.type, ports) !== undefined) return [];
  const patientIds = await findLinkedNumbers(requirePatient(query.clauses), ports);
  // The numbers of a patient are linked for those who see a plan only.
  if (patientIds.length < 2 || query.type === 'Flag' || (await findShownFlags(patientIds, ports)).length > 0) {
    return patientIds;
  }
  return patientIds.slice(0, 1);
}

/** Makes a search for one patient find all their NHS numbers. */
function namePatients(plan: SearchPlan, patientIds: readonly string[]): SearchPlan {
  if (patientIds.length < 2) return plan;
  const clauses = plan.clauses.map((clause) => (isPatientClause(clause) ? onPatients(patientIds) : clause));
  return { ...plan, clauses };
}

/** Finds plans for NHS staff. Their total is known with the page. */
async function findShown(
  plan: SearchPlan,
  patientIds: readonly string[],
  { total, summary }: SearchQuery,
  ports: InteractionPorts,
): Promise<ShownPlans> {
  const { result, visible } = await searchShownFlags(plan, patientIds, ports);
  return { result: total === 'none' && summary !== 'count' ? { ...result, total: undefined } : result, visible };
}

/** Included resources have no narrative to return. https://hl7.org/fhir/R4/search.html#summary */
function refuseIncludedText({ include, revinclude }: SearchQuery, shape: Shape | undefined): void {
  if (shape?.kind !== 'text' || include.length + revinclude.length === 0) return;
  throw fault('invalid', '_summary=text cannot be combined with _include or _revinclude.', {
    expression: ['_summary'],
  });
}

/** A Bundle of `_summary=count` has no entry that could carry a warning. */
function refuseCountWithWarning({ type, summary, ignored, clauses }: SearchQuery, caller: Caller): void {
  if (summary !== 'count') return;
  if (ignored.length > 0) {
    throw fault(
      'not-supported',
      'With _summary=count no parameter is ignored. Leave out those that are not supported.',
      {
        expression: ignored.map(nameParameter),
      },
    );
  }
  if (looksUpPlans({ type }, caller) && narrowsKinds(clauses)) {
    throw fault(
      'invalid',
      '_summary=count with code could hide plans of other kinds, because it cannot carry a warning. Leave out code.',
      { expression: ['_summary'] },
    );
  }
}

/** Parses and authorises a search, before any read. */
function parseRequest(request: FhirRequest, context: AccessContext, ports: InteractionPorts) {
  const { caller, handling = 'lenient' } = context;
  const type = request.type ?? '';
  authorise(caller, type, 'search-type');
  const { shape, applied: shaped, others } = takeShape(request.query);
  const understood = parseCallerSearch(type, others, caller, handling, ports);
  const query = shaped.length === 0 ? understood : { ...understood, applied: [...understood.applied, ...shaped] };
  refuseIncludedText(query, shape);
  refuseCountWithWarning(query, caller);
  if (caller.role === 'care-provider' && directoryOf(type, ports) === undefined) {
    refuseMissing(query.clauses);
    requirePatient(query.clauses);
  }
  return { query, shape };
}

/** Throws the fault that refuses a search whatever it would find. */
export function checkSearch(request: FhirRequest, context: AccessContext, ports: InteractionPorts): void {
  openPage(parseRequest(request, context, ports).query, context.caller, ports);
}

/**
 * Performs a search: finds the exact result, makes its AuditEvent durable, and only then renders the Bundle. Each page
 * is authorised and audited as a search of its own. https://hl7.org/fhir/R4/http.html#search
 */
export async function searchType(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const { caller } = context;
  const { query: parsed, shape } = parseRequest(request, context, ports);
  const isLookUp = caller.role === 'care-provider' && directoryOf(parsed.type, ports) === undefined;
  if (isLookUp) ports.lookUps.admit(caller);
  const query = parsed.linked.length === 0 ? parsed : await resolveLinked(parsed, context, ports);
  // A look-up waits for nothing here.
  const predecessors = query.type === 'AuditEvent' ? await predecessorsOf(query, caller, ports) : [];
  const patientIds = await findPatientIds(query, caller, ports);
  const plan = namePatients(planSearch(query, context, predecessors, ports), patientIds);
  const shown = looksUpPlans(query, caller) ? await findShown(plan, patientIds, query, ports) : undefined;
  const result = shown?.result ?? (await find(plan, query.total, ports));
  const included = await findIncluded(query, result.matches, caller, ports);
  const access = await describeSearchAccess(query, patientIds, shown?.visible, result, included, context, ports);
  await recordAccess(request, context, access, ports);
  if (isLookUp) {
    const [nhsNumber = ''] = patientIds;
    const hasPlan = access.custodianIds.length > 0;
    ports.lookUps.note(caller, { nhsNumber, isSilent: access.isSilent === true, hasPlan });
  }
  const matches = new Set(result.matches);
  const entries = await mapInTurns([...result.matches, ...included], (resource): SearchsetEntry => {
    const stored = showResource(caller, resource, ports);
    const renames = ports.demographics.isPresent && caller.role === 'care-provider' && resource.type === 'AuditEvent';
    const text = renames ? nameHistoryPatient(stored, patientIds[0] ?? '') : stored;
    return {
      fullUrl: `${ports.baseUrl}/${resource.type}/${resource.id}`,
      body: shape === undefined ? text : ports.shape(text, shape),
      mode: matches.has(resource) ? 'match' : 'include',
    };
  });
  if (query.ignored.length > 0) entries.push(renderIgnored(query.ignored));
  const warnings = shown === undefined ? [] : warnOfPlans(query, patientIds, shown, ports);
  if (warnings.length > 0) entries.push({ body: renderOperationOutcome(warnings), mode: 'outcome' });
  return {
    kind: 'ok',
    body: renderSearchset({
      ...(result.total === undefined ? {} : { total: result.total }),
      links: renderPageLinks(query, result.next, caller, ports),
      entries: query.summary === 'count' ? [] : entries,
    }),
  };
}

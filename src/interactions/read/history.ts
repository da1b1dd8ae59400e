import { authorise, mayPerform } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { mayReadVersions, versionAccess } from '../../cpis/version-access.ts';
import { renderHistory } from '../../fhir/bundle/history.ts';
import { type HistoryQuery, parseHistoryQuery } from '../../fhir/history/history-query.ts';
import type { HistoryEntry, HistoryPlan } from '../../store/history.ts';
import type { ReadResult } from '../../store/store.ts';
import { type Access, plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, notFound } from '../resource/find-resource.ts';
import { openPage, renderPageLinks } from '../resource/page-links.ts';
import { patientsOf, showResource } from '../resource/present-resource.ts';
import { storeView, type View } from '../resource/view.ts';
import { mapInTurns } from '../yielding/in-turns.ts';

/** Types whose versions are kept and disclosed. */
const versioned = ['Flag', 'Patient', 'Subscription'];

/** Returns the types of this history. Throws `forbidden` if the caller may see none. */
function typesOf({ interaction, type }: FhirRequest, caller: Caller): readonly string[] {
  if (interaction === 'history-instance' || type !== undefined) {
    authorise(caller, type ?? '', interaction === 'history-instance' ? interaction : 'history-type');
    return [type ?? ''];
  }
  const types = versioned.filter((each) => mayPerform(caller, each, 'history-type'));
  // If the caller may see no type, the refusal is the one of the first type.
  if (types.length === 0) authorise(caller, versioned[0] ?? '', 'history-type');
  return types;
}

/**
 * Returns the resource whose history is requested. Throws `not-found` unless the caller may see it, now or before its
 * deletion.
 */
async function findSubject(type: string, id: string, caller: Caller, view: View): Promise<ReadResult> {
  checkId(type, id);
  const found = await view.read(type, id);
  if (!mayReadVersions(caller, labelsOf(found))) throw notFound();
  return found;
}

function labelsOf(found: ReadResult | undefined): readonly string[] {
  return found?.kind === 'found' ? found.resource.labels : found?.kind === 'deleted' ? found.labels : [];
}

function planHistory(
  query: HistoryQuery,
  types: readonly string[],
  { id }: FhirRequest,
  subject: ReadResult | undefined,
  caller: Caller,
  after: HistoryPlan['after'],
): HistoryPlan {
  const { sinceMs, at, count, countOnly } = query;
  return {
    scopes: types.map((type) => ({ type, ...versionAccess(caller, labelsOf(subject)) })),
    limit: countOnly ? 0 : count,
    total: countOnly || count === 0,
    ...(id === undefined ? {} : { id }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(at === undefined ? {} : { at }),
    ...(after === undefined ? {} : { after }),
  };
}

function patientsOfVersion({ type, id, body }: Pick<HistoryEntry, 'type' | 'id' | 'body'>): readonly string[] {
  if (body !== null) return patientsOf({ type, id, body });
  return type === 'Patient' ? [id] : [];
}

/** Describes the access of a page of history: each patient in it, and the resource that was requested. */
function describeHistoryAccess(
  { type = '', id }: FhirRequest,
  subject: ReadResult | undefined,
  entries: readonly HistoryEntry[],
  caller: Caller,
): Access {
  const disclosed = subject?.kind === 'found' ? [subject.resource, ...entries] : entries;
  return {
    ...plainAccess,
    patientIds: [...new Set(disclosed.flatMap(patientsOfVersion))],
    custodianIds: [caller.organisation.id],
    ...(id === undefined || type === 'Patient' ? {} : { resource: `${type}/${id}` }),
  };
}

/** Parses and authorises a history, and reads its subject from the view. */
async function openHistory(request: FhirRequest, context: AccessContext, view: View, ports: InteractionPorts) {
  const { caller } = context;
  const { type, id } = request;
  const types = typesOf(request, caller);
  const query = parseHistoryQuery(request.query, {
    handling: context.handling ?? 'lenient',
    defaultCount: ports.searchDefaultCount,
    maxCount: ports.searchMaxCount,
  });
  const page = {
    type: [type, id, '_history'].filter((segment) => segment !== undefined).join('/'),
    applied: query.applied,
    cursor: query.cursor,
  };
  const after = openPage(page, caller, ports);
  const subject = id === undefined ? undefined : await findSubject(type ?? '', id, caller, view);
  return { types, query, page, after, subject };
}

/** Throws the fault that would refuse a history on the view. */
export async function checkHistory(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<void> {
  await openHistory(request, context, view, ports);
}

/**
 * Performs the history of a resource, a type or all types: the versions that vread would give this caller, newest
 * first. Each page is authorised, and audited before it is disclosed. https://hl7.org/fhir/R4/http.html#history
 */
export async function history(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const { caller } = context;
  const { types, query, page, after, subject } = await openHistory(request, context, storeView(ports.store), ports);
  const plan = planHistory(query, types, request, subject, caller, after);
  const result = await ports.store.history(plan);
  await recordAccess(request, context, describeHistoryAccess(request, subject, result.entries, caller), ports);
  const { shape } = query;
  const entries = await mapInTurns(result.entries, (entry) => {
    if (entry.body === null) return entry;
    const body = showResource(caller, { type: entry.type, body: entry.body }, ports);
    return { ...entry, body: shape === undefined ? body : ports.shape(body, shape) };
  });
  const isWhole = after === undefined && result.next === undefined;
  const total = result.total ?? (isWhole ? entries.length : undefined);
  return {
    kind: 'ok',
    body: renderHistory(
      { ...(total === undefined ? {} : { total }), links: renderPageLinks(page, result.next, caller, ports), entries },
      ports.baseUrl,
    ),
  };
}

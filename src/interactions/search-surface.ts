import type { Caller } from '../cpis/caller.ts';
import { fault } from '../fhir/fault.ts';
import type { SearchClause, SearchQuery } from '../fhir/search/ast.ts';
import { parseSearch } from '../fhir/search/parse-search.ts';
import type { InteractionPorts } from './ports.ts';
import { resolveIdentifiers } from './resolve-identifiers.ts';

/** What can be searched on a type, by parameter code. capability-statement.json says the same. */
export interface SearchSurface {
  readonly parameters: ReadonlySet<string>;
  readonly includes: ReadonlySet<string>;
  readonly sorts: ReadonlySet<string>;
}

const surface = (parameters: string[], includes: string[] = [], sorts: string[] = []): SearchSurface => ({
  parameters: new Set(parameters),
  includes: new Set(includes),
  sorts: new Set(['_id', '_lastUpdated', ...sorts]),
});

/** The search parameters, includes and sort keys of each type. */
export const searchSurfaces: Readonly<Record<string, SearchSurface>> = {
  Flag: surface(
    ['_id', '_lastUpdated', 'author', 'code', 'date', 'identifier', 'patient', 'status', 'subject'],
    ['Flag:author', 'Flag:patient'],
    ['date', 'status'],
  ),
  Patient: surface(['_id', '_lastUpdated', 'birthdate', 'family', 'identifier'], [], ['birthdate', 'family']),
  Organization: surface(['_id', '_lastUpdated', 'identifier', 'name'], [], ['name']),
  AuditEvent: {
    parameters: new Set([
      '_id',
      '_lastUpdated',
      'action',
      'agent',
      'date',
      'entity',
      'outcome',
      'patient',
      'subtype',
      'type',
    ]),
    includes: new Set(),
    sorts: new Set(['date', '_lastUpdated']),
  },
  Subscription: surface(['_id', '_lastUpdated', 'status', 'url'], [], ['status']),
};

/**
 * NHS staff search the access history by patient and time only: `agent` and `entity` would tell of custodian
 * authorities, `subtype` of reads that found something, and so of plans that have been withdrawn.
 */
const accessHistorySurface: SearchSurface = {
  parameters: new Set(['_lastUpdated', 'date', 'patient']),
  includes: new Set(),
  sorts: new Set(['date', '_lastUpdated']),
};

/** How many entries of the access history are answered when the client does not say. */
const accessHistoryCount = 25;

const nothing: SearchSurface = surface([]);

function surfaceFor(type: string, caller: Caller): SearchSurface {
  if (type === 'AuditEvent' && caller.role === 'care-provider') return accessHistorySurface;
  return searchSurfaces[type] ?? nothing;
}

/** Parses a search of this caller, with identifiers of patients and authorities resolved to their ids. */
export function parseCallerSearch(
  type: string,
  params: readonly (readonly [string, string])[],
  caller: Caller,
  handling: 'strict' | 'lenient',
  ports: InteractionPorts,
): SearchQuery {
  const { parameters, includes, sorts } = surfaceFor(type, caller);
  const query = parseSearch(type, params, {
    definitions: ports.searchDefinitions,
    allowed: parameters,
    includes,
    sorts,
    // A care provider's misspelt criterion must not widen its search.
    handling: caller.role === 'care-provider' ? 'strict' : handling,
    baseUrl: ports.baseUrl,
    defaultCount: type === 'AuditEvent' ? accessHistoryCount : ports.searchDefaultCount,
    maxCount: ports.searchMaxCount,
  });
  return { ...query, clauses: resolveIdentifiers(type, query.clauses, ports.registry()) };
}

/** Parses the criteria of a Subscription: criteria of a search on AuditEvent, taken strictly and without result parameters. */
export function parseCriteriaSearch(
  type: string,
  params: readonly (readonly [string, string])[],
  ports: Pick<InteractionPorts, 'searchDefinitions' | 'baseUrl' | 'registry'>,
): SearchQuery {
  const query = parseSearch(type, params, {
    definitions: ports.searchDefinitions,
    allowed: searchSurfaces[type]?.parameters ?? new Set(),
    includes: new Set(),
    sorts: new Set(),
    handling: 'strict',
    baseUrl: ports.baseUrl,
    maxCount: 1,
  });
  return { ...query, clauses: resolveIdentifiers(type, query.clauses, ports.registry()) };
}

const patientParams = new Set(['patient', 'subject']);

/** The one patient that a search names with `patient` or `subject`; undefined when there is none, or several. */
export function namedPatient(clauses: readonly SearchClause[]): string | undefined {
  let named: string | undefined;
  for (const clause of clauses) {
    if (clause.kind !== 'reference' || !patientParams.has(clause.param)) continue;
    const [value] = clause.any;
    if (clause.any.length !== 1 || value === undefined || value.kind !== 'literal' || named !== undefined)
      return undefined;
    named = value.id;
  }
  return named;
}

/** The patient that a care provider's search names; without exactly one it is refused. */
export function requirePatient(clauses: readonly SearchClause[]): string {
  const named = namedPatient(clauses);
  if (named === undefined) {
    throw fault('required', 'A care provider names one patient: patient=<NHS number>, once and with one value.', {
      expression: ['patient'],
    });
  }
  return named;
}

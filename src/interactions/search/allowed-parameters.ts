import { definitionTypes } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { fault } from '../../fhir/fault.ts';
import { patientParameters } from '../../fhir/patient-compartment.ts';
import type { SearchClause, SearchQuery } from '../../fhir/search/ast.ts';
import type { LinkTarget } from '../../fhir/search/linked-criterion.ts';
import { parseSearch } from '../../fhir/search/parse-search.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { resolveIdentifiers } from './resolve-identifiers.ts';

/** What can be searched on a type. capability-statement.json says the same. */
export interface AllowedParameters {
  /** By parameter code. */
  readonly parameters: ReadonlySet<string>;
  readonly sorts: ReadonlySet<string>;
  /** Codes with `:text`. */
  readonly texts: ReadonlySet<string>;
  /** Codes of references without `:identifier`. */
  readonly literals: ReadonlySet<string>;
  readonly includes: ReadonlySet<string>;
  readonly revincludes: ReadonlySet<string>;
  /** What `:iterate` takes besides, either way. */
  readonly iterates: ReadonlySet<string>;
  readonly chains: ReadonlyMap<string, LinkTarget>;
  /** What `_has` takes. */
  readonly reverses: ReadonlyMap<string, LinkTarget>;
}

interface AllowedParts {
  readonly parameters: readonly string[];
  readonly sorts?: readonly string[];
  readonly texts?: readonly string[];
  readonly literals?: readonly string[];
  readonly includes?: readonly string[];
  readonly revincludes?: readonly string[];
  readonly iterates?: readonly string[];
  readonly chains?: Readonly<Record<string, LinkTarget>>;
  readonly reverses?: Readonly<Record<string, LinkTarget>>;
}

/** Sorted by all its parameters unless it says which. */
function allow(parts: AllowedParts): AllowedParameters {
  return {
    parameters: new Set(parts.parameters),
    sorts: new Set(parts.sorts ?? parts.parameters),
    texts: new Set(parts.texts),
    literals: new Set(parts.literals),
    includes: new Set(parts.includes),
    revincludes: new Set(parts.revincludes),
    iterates: new Set(parts.iterates),
    chains: new Map(Object.entries(parts.chains ?? {})),
    reverses: new Map(Object.entries(parts.reverses ?? {})),
  };
}

const common = ['_id', '_lastUpdated'];
const ofFlag = [...common, 'author', 'code', 'date', 'identifier', 'patient', 'status', 'subject'];
const ofPatient = [...common, 'birthdate', 'family', 'gender', 'given', 'identifier', 'name'];
const ofOrganization = [...common, 'active', 'identifier', 'name', 'type'];
const ofDefinition = allow({ parameters: [...common, 'name', 'url'] });
const flagIncludes = ['Flag:author', 'Flag:patient', 'Flag:subject'];
const toPatient: LinkTarget = { type: 'Patient', allowed: new Set(ofPatient) };
const toOrganization: LinkTarget = { type: 'Organization', allowed: new Set(ofOrganization) };
const fromFlag: LinkTarget = { type: 'Flag', allowed: new Set(ofFlag) };

/** What is searched on each type by an authority, and by an operator where the access table lets it. */
export const allowedParameters: Readonly<Record<string, AllowedParameters>> = {
  Flag: allow({
    parameters: ofFlag,
    texts: ['code'],
    includes: flagIncludes,
    iterates: ['Flag:author', 'Flag:patient', 'Flag:subject'],
    chains: { author: toOrganization, patient: toPatient, subject: toPatient },
  }),
  Patient: allow({
    parameters: ofPatient,
    revincludes: ['Flag:patient', 'Flag:subject'],
    iterates: flagIncludes,
    reverses: { 'Flag:patient': fromFlag, 'Flag:subject': fromFlag },
  }),
  Organization: allow({ parameters: ofOrganization, texts: ['type'] }),
  AuditEvent: allow({
    parameters: [...common, 'action', 'agent', 'date', 'entity', 'outcome', 'patient', 'subtype', 'type'],
    sorts: ['date', '_lastUpdated'],
    literals: ['agent', 'entity'],
    includes: ['AuditEvent:agent', 'AuditEvent:entity', 'AuditEvent:patient'],
    iterates: flagIncludes,
  }),
  Subscription: allow({ parameters: [...common, 'criteria', 'payload', 'status', 'type', 'url'] }),
  ...Object.fromEntries([...definitionTypes].map((type) => [type, ofDefinition])),
};

/** NHS staff name one patient: what chains, `_has` and `_revinclude` would tell of others is not theirs. */
const careProviderFlagParameters = allow({ parameters: ofFlag, texts: ['code'], includes: flagIncludes });

/**
 * NHS staff search the access history by patient and time only: `agent` and `entity` would tell of custodian
 * authorities, `subtype` of reads that found something, and so of plans that have been withdrawn.
 */
const accessHistoryParameters = allow({
  parameters: ['_lastUpdated', 'date', 'patient'],
  sorts: ['date', '_lastUpdated'],
});

/** How many entries of the access history are answered when the client does not say. */
const accessHistoryCount = 25;

const nothing = allow({ parameters: [] });

function allowedFor(type: string, caller: Caller): AllowedParameters {
  if (caller.role === 'care-provider') {
    if (type === 'AuditEvent') return accessHistoryParameters;
    if (type === 'Flag') return careProviderFlagParameters;
  }
  return allowedParameters[type] ?? nothing;
}

/** Parses a search of this caller, with identifiers of patients and authorities resolved to their ids. */
export function parseCallerSearch(
  type: string,
  params: readonly (readonly [string, string])[],
  caller: Caller,
  handling: 'strict' | 'lenient',
  ports: InteractionPorts,
): SearchQuery {
  const served = allowedFor(type, caller);
  const registry = ports.registry();
  const query = parseSearch(type, params, {
    allowed: served.parameters,
    sorts: served.sorts,
    texts: served.texts,
    literals: served.literals,
    includes: served.includes,
    revincludes: served.revincludes,
    iterates: served.iterates,
    chains: served.chains,
    reverses: served.reverses,
    definitions: ports.searchDefinitions,
    nowMs: ports.clock(),
    // A care provider's misspelt criterion must not widen its search.
    handling: caller.role === 'care-provider' ? 'strict' : handling,
    baseUrl: ports.baseUrl,
    defaultCount: type === 'AuditEvent' ? accessHistoryCount : ports.searchDefaultCount,
    maxCount: ports.searchMaxCount,
  });
  return {
    ...query,
    clauses: resolveIdentifiers(type, query.clauses, registry),
    linked: query.linked.map((linked) => ({
      ...linked,
      clause: resolveIdentifiers(linked.target, [linked.clause], registry)[0] ?? linked.clause,
    })),
  };
}

/** Parses the criteria of a Subscription: criteria of a search on AuditEvent, taken strictly and without result parameters. */
export function parseCriteriaSearch(
  type: string,
  params: readonly (readonly [string, string])[],
  ports: Pick<InteractionPorts, 'searchDefinitions' | 'baseUrl' | 'registry'>,
): SearchQuery {
  const { parameters, literals } = allowedParameters[type] ?? nothing;
  const query = parseSearch(type, params, {
    definitions: ports.searchDefinitions,
    allowed: parameters,
    literals,
    includes: new Set(),
    sorts: new Set(),
    handling: 'strict',
    baseUrl: ports.baseUrl,
    maxCount: 1,
  });
  return { ...query, clauses: resolveIdentifiers(type, query.clauses, ports.registry()) };
}

/** The one patient that a search names with `patient` or `subject`; undefined when there is none, or several. */
export function namedPatient(clauses: readonly SearchClause[]): string | undefined {
  let named: string | undefined;
  for (const clause of clauses) {
    if (clause.kind !== 'reference' || !patientParameters.has(clause.param)) continue;
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
    throw fault('required', 'Name one patient: send patient=<NHS number> once, with one value.', {
      expression: ['patient'],
    });
  }
  return named;
}

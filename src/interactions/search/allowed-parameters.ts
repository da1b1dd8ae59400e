import { definitionTypes } from '../../cpis/access-policy.ts';
import type { Caller, Role } from '../../cpis/caller.ts';
import { refuseNarrowing, resolveKinds } from '../../cpis/plan-search.ts';
import { fault } from '../../fhir/fault.ts';
import { patientParameters } from '../../fhir/patient-compartment.ts';
import type { SearchClause, SearchQuery } from '../../fhir/search/ast.ts';
import type { LinkTarget } from '../../fhir/search/linked-criterion.ts';
import { parseSearch } from '../../fhir/search/parse-search.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { refuseUnknownValues } from './check-values.ts';
import { resolveAgents } from './resolve-agents.ts';
import { resolveIdentifiers } from './resolve-identifiers.ts';

/** Search parameters and results that a type offers. capability-statement.json declares the same. */
export interface AllowedParameters {
  /** Codes of search parameters. */
  readonly parameters: ReadonlySet<string>;
  readonly sorts: ReadonlySet<string>;
  /** Codes that take `:text`. */
  readonly texts: ReadonlySet<string>;
  /** Codes of references that do not take `:identifier`. */
  readonly literals: ReadonlySet<string>;
  readonly includes: ReadonlySet<string>;
  readonly revincludes: ReadonlySet<string>;
  /** Extra values allowed with `:iterate`, for `_include` and `_revinclude`. */
  readonly iterates: ReadonlySet<string>;
  readonly chains: ReadonlyMap<string, LinkTarget>;
  /** Targets of `_has`. */
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

/** Builds the allowed parameters of a type. Each parameter can be sorted by unless `sorts` is given. */
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

/** Allowed parameters by type, for authorities, and for operators where the access table gives them the search. */
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
    parameters: [...common, 'action', 'agent', 'agent-name', 'date', 'entity', 'outcome', 'patient', 'subtype', 'type'],
    sorts: ['date', '_lastUpdated'],
    literals: ['entity'],
    includes: ['AuditEvent:agent', 'AuditEvent:entity', 'AuditEvent:patient'],
    iterates: flagIncludes,
  }),
  Subscription: allow({ parameters: [...common, 'criteria', 'payload', 'status', 'type', 'url'] }),
  ...Object.fromEntries([...definitionTypes].map((type) => [type, ofDefinition])),
};

/**
 * NHS staff search for one patient. Chains, `_has` and `_revinclude` are not offered, because they would disclose other
 * patients.
 */
const careProviderFlagParameters = allow({
  parameters: ['code', 'patient', 'subject'],
  sorts: ofFlag,
  includes: flagIncludes,
});

/**
 * NHS staff search the access history by patient and time only. `agent` would disclose custodian authorities, and
 * `subtype` reads that found something, and so plans that have been withdrawn.
 */
const accessHistoryParameters = allow({
  parameters: ['_lastUpdated', 'date', 'patient'],
  sorts: ['date', '_lastUpdated'],
});

/** An auditor sees AuditEvents alone, so that nothing is included with them. */
const auditorParameters: AllowedParameters = {
  ...(allowedParameters['AuditEvent'] as AllowedParameters),
  includes: new Set(),
  iterates: new Set(),
};

/** What the criteria of a Subscription on AuditEvents may name: what is in the event itself. */
const criteriaParameters = allow({
  parameters: [...common, 'action', 'agent', 'date', 'entity', 'outcome', 'patient', 'subtype', 'type'],
  literals: ['agent', 'entity'],
});

/** Default page size of the access history. */
const accessHistoryCount = 25;

const nothing = allow({ parameters: [] });

function allowedFor(type: string, caller: Caller): AllowedParameters {
  if (caller.role === 'care-provider') {
    if (type === 'AuditEvent') return accessHistoryParameters;
    if (type === 'Flag') return careProviderFlagParameters;
  }
  if (caller.role === 'auditor' && type === 'AuditEvent') return auditorParameters;
  return allowedParameters[type] ?? nothing;
}

const anyKind: SearchClause = { kind: 'missing', param: 'code', missing: false };

/** Resolves identifiers and codes of criteria, and throws for values that nothing can have. */
function resolveClauses(
  type: string,
  clauses: readonly SearchClause[],
  ports: Pick<InteractionPorts, 'searchDefinitions' | 'registry'>,
  role?: Role,
): readonly SearchClause[] {
  refuseUnknownValues(type, clauses, ports.searchDefinitions);
  const known = type === 'AuditEvent' ? resolveAgents(clauses, ports.registry(), role) : clauses;
  return resolveIdentifiers(type, type === 'Flag' ? resolveKinds(known) : known, ports.registry());
}

/** Parses a search of this caller, and resolves identifiers of patients and authorities to their ids. */
export function parseCallerSearch(
  type: string,
  params: readonly (readonly [string, string])[],
  caller: Caller,
  handling: 'strict' | 'lenient',
  ports: InteractionPorts,
): SearchQuery {
  const served = allowedFor(type, caller);
  if (served === careProviderFlagParameters) refuseNarrowing(params);
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
    // A misspelt criterion of a care provider must not widen its search.
    handling: caller.role === 'care-provider' ? 'strict' : handling,
    baseUrl: ports.baseUrl,
    defaultCount: type === 'AuditEvent' ? accessHistoryCount : ports.searchDefaultCount,
    maxCount: ports.searchMaxCount,
  });
  return {
    ...query,
    clauses: resolveClauses(type, query.clauses, ports, caller.role),
    linked: query.linked.map((linked) => ({
      ...linked,
      // A code for all kinds of plan is left out of the clauses: the linked plan may then be of any kind.
      clause: resolveClauses(linked.target, [linked.clause], ports)[0] ?? anyKind,
    })),
  };
}

/** Parses the criteria of a Subscription strictly, as a search on AuditEvent without result parameters. */
export function parseCriteriaSearch(
  type: string,
  params: readonly (readonly [string, string])[],
  ports: Pick<InteractionPorts, 'searchDefinitions' | 'baseUrl' | 'registry'>,
): SearchQuery {
  const { parameters, literals } = type === 'AuditEvent' ? criteriaParameters : nothing;
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
  return { ...query, clauses: resolveClauses(type, query.clauses, ports) };
}

/** Throws if a care provider asks for what lacks a value: it names one patient, and every plan has the rest. */
export function refuseMissing(clauses: readonly SearchClause[]): void {
  for (const clause of clauses) {
    if (clause.kind !== 'missing') continue;
    throw fault('not-supported', 'A care provider may not use the modifier missing. Leave it out.', {
      expression: [`${clause.param}:missing`],
    });
  }
}

/** Returns true for a criterion that names patients, with `patient` or `subject`. */
export function isPatientClause(clause: SearchClause): clause is Extract<SearchClause, { kind: 'reference' }> {
  return clause.kind === 'reference' && patientParameters.has(clause.param);
}

/** Returns the one patient that a search names with `patient` or `subject`; undefined for none or several. */
export function namedPatient(clauses: readonly SearchClause[]): string | undefined {
  let named: string | undefined;
  for (const clause of clauses) {
    if (!isPatientClause(clause)) continue;
    const [value] = clause.any;
    if (clause.any.length !== 1 || value === undefined || value.kind !== 'literal' || named !== undefined)
      return undefined;
    named = value.id;
  }
  return named;
}

/** Returns the patient that a care provider's search names. Throws `required` unless it is exactly one. */
export function requirePatient(clauses: readonly SearchClause[]): string {
  const named = namedPatient(clauses);
  if (named === undefined) {
    throw fault('required', 'Name one patient: send patient=<NHS number> once, with one value.', {
      expression: ['patient'],
    });
  }
  return named;
}

/** Which criteria a search for plans may have: no answer to NHS staff hides a plan silently. */
import { FhirFault, fault, type Issue } from '../fhir/fault.ts';
import type { SearchClause, TokenValue } from '../fhir/search/ast.ts';
import { nameParameter } from '../fhir/search/parameter-name.ts';
import { type Plan, planKinds } from './plan.ts';

/**
 * NHS England's codes for a child protection flag. Both spellings occur on its pages. Each stands for all kinds of plan.
 * https://simplifier.net/guide/cp-is-api
 */
const anyKindCodes: ReadonlySet<string> = new Set([
  'child-protection-information-system-flag',
  'child-protection-information-sharing-flag',
]);
const anyKindSystem = 'https://fhir.nhs.uk/England/CodeSystem/England-FlagCategoryPatient';
const kindSystem = 'http://snomed.info/sct';

/** Parameters of Flag that could hide a visible plan. A care provider may not use them, whatever their modifier. */
const narrowing: ReadonlySet<string> = new Set(['_id', '_lastUpdated', 'author', 'date', 'identifier', 'status']);
const narrowingChains: ReadonlySet<string> = new Set(['_has', '_filter', '_query', '_list', '_content', '_text']);

/**
 * Throws `not-supported` if a care provider's search for plans has a criterion other than the patient and the kind of plan,
 * with an issue for each one.
 */
export function refuseNarrowing(params: readonly (readonly [name: string, value: string])[]): void {
  const issues: Issue[] = [];
  for (const [name] of params) {
    const [base = ''] = name.split(/[.:]/, 1);
    const isRefused = narrowing.has(base) || narrowingChains.has(base) || (base === 'code' && name !== 'code');
    if (!isRefused) continue;
    issues.push({
      severity: 'error',
      code: 'not-supported',
      diagnostics:
        'A care provider may not search plans by this criterion, because it could hide a plan. Leave it out: search by ' +
        'patient, and by code if only one kind of plan is wanted.',
      expression: [nameParameter(name)],
    });
  }
  if (issues.length > 0) throw new FhirFault('not-supported', issues);
}

/** Returns true if the value stands for all kinds of plan. */
function isAnyKind({ system, code }: TokenValue): boolean {
  if (code === undefined) return system === kindSystem;
  return anyKindCodes.has(code) && (system === undefined || system === anyKindSystem);
}

function isKind({ system, code }: TokenValue): boolean {
  return code !== undefined && Object.hasOwn(planKinds, code) && (system === undefined || system === kindSystem);
}

/**
 * Returns the clauses of a search for plans with NHS England's codes resolved: a criterion that stands for all kinds is left
 * out. Throws `invalid` for a `code` that is no kind of plan, because the search would silently find nothing.
 */
export function resolveKinds(clauses: readonly SearchClause[]): readonly SearchClause[] {
  if (!clauses.some(isKindClause)) return clauses;
  return clauses.filter((clause) => {
    if (!isKindClause(clause)) return true;
    if (clause.any.every(isKind)) return true;
    if (clause.any.every((value) => isKind(value) || isAnyKind(value)) && !clause.negated) return false;
    throw fault(
      'invalid',
      `code must be a kind of plan (${Object.keys(planKinds).join(', ')} of SNOMED CT) or, for all kinds, ` +
        'child-protection-information-system-flag.',
      { code: 'value', expression: ['code'] },
    );
  });
}

function isKindClause(clause: SearchClause): clause is Extract<SearchClause, { kind: 'token' }> {
  return clause.kind === 'token' && clause.param === 'code';
}

/** Returns true if the clauses leave out plans because of their kind. */
export function narrowsKinds(clauses: readonly SearchClause[]): boolean {
  return clauses.some(isKindClause);
}

/** Returns true if one of the visible plans is left out by a `code` of the clauses. */
export function hidesPlan(clauses: readonly SearchClause[], visible: readonly Pick<Plan, 'kind'>[]): boolean {
  const kinds = clauses.filter(isKindClause);
  return visible.some(({ kind }) => kinds.some(({ any }) => !any.some(({ code }) => code === kind)));
}

/** Returns the warning that plans of other kinds are recorded. `showsAny` is false if the answer has no plan. */
export function furtherPlans(showsAny: boolean): Issue {
  return {
    severity: 'warning',
    code: 'informational',
    diagnostics: showsAny
      ? 'Further plans of other kinds are recorded for this patient. Search without code to see all of them.'
      : 'No plan of this kind is shown for this patient, but plans of other kinds are recorded. Search without code to see ' +
        'all of them.',
    expression: ['code'],
  };
}

/** The warning that the patient has, or had, another NHS number. */
export const changedNumber: Issue = {
  severity: 'warning',
  code: 'informational',
  diagnostics:
    'The NHS number of this patient has been replaced. This answer has the plans recorded under the old and the new number. ' +
    'Flag.subject names the number of each plan.',
  expression: ['patient'],
};

/** The warning that an answer lacks the authority of one of its plans. */
export const unknownAuthority: Issue = {
  severity: 'warning',
  code: 'not-found',
  diagnostics:
    'This server does not know the authority of a plan in this answer, so its name and telephones are missing. Its code is ' +
    'in Flag.author. Report this to the operator of the server.',
  expression: ['Flag.author'],
};

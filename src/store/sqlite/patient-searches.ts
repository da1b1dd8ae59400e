/**
 * Results of searches that name one patient, kept in memory until something is written about that patient: a look-up is
 * answered without reading the file. Exact, because this process alone writes the file and is told of each commit before
 * its caller is.
 */
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { SearchResult, WriteUnit } from '../store.ts';

export interface PatientSearches {
  /** The result kept for the plan, else what `search` gives. */
  find(plan: SearchPlan, search: () => SearchResult): SearchResult;
  /** To be told of each unit as soon as it is durable. */
  forget(unit: WriteUnit): void;
}

const patientParam = 'patient';
/** What a kept result takes beside its texts. */
const overheadChars = 600;

interface KeptResult {
  readonly plan: SearchPlan;
  readonly result: SearchResult;
}

interface Kept {
  readonly results: KeptResult[];
  chars: number;
}

/** Keeps texts of up to `maxChars` characters; the patients looked up first go first. */
export function openPatientSearches(maxChars: number): PatientSearches {
  /** By patient reference, in the order in which they were first searched. */
  const kept = new Map<string, Kept>();
  /** The patient under which a resource was found. */
  const patientOf = new Map<string, string>();
  let chars = 0;

  const drop = (patient: string): void => {
    const entry = kept.get(patient);
    if (entry === undefined) return;
    kept.delete(patient);
    chars -= entry.chars;
    for (const { result } of entry.results) {
      for (const { type, id } of result.matches) patientOf.delete(`${type}/${id}`);
    }
  };

  const keep = (patient: string, plan: SearchPlan, result: SearchResult): void => {
    const resources = result.matches.map(({ type, id }) => `${type}/${id}`);
    // A resource about two patients would have to be forgotten under both.
    if (resources.some((resource) => (patientOf.get(resource) ?? patient) !== patient)) return;
    const size = result.matches.reduce((sum, { body }) => sum + body.length, overheadChars);
    for (const resource of resources) patientOf.set(resource, patient);
    const entry = kept.get(patient) ?? { results: [], chars: 0 };
    entry.results.push({ plan, result });
    entry.chars += size;
    kept.set(patient, entry);
    chars += size;
    while (chars > maxChars) {
      const oldest = kept.keys().next().value;
      if (oldest === undefined) return;
      drop(oldest);
    }
  };

  return {
    find(plan, search) {
      const patient = onePatient(plan);
      if (patient === undefined) return search();
      const known = kept.get(patient)?.results.find((each) => isSame(each.plan, plan));
      if (known !== undefined) return known.result;
      const result = search();
      keep(patient, plan, result);
      return result;
    },
    forget({ writes, touches }) {
      for (const { type, id, index } of writes) {
        drop(patientOf.get(`${type}/${id}`) ?? '');
        for (const value of index) {
          if (value.kind === 'reference' && value.param === patientParam) drop(`${value.type}/${value.id}`);
        }
      }
      for (const { type, id, labels } of touches) {
        drop(patientOf.get(`${type}/${id}`) ?? '');
        if (labels === undefined || type === 'Patient') continue;
        // It may be found now by a search that did not find it before.
        for (const patient of [...kept.keys()]) drop(patient);
      }
    },
  };
}

/** Clauses of the access rules are the same objects in many plans; what else is there is short. */
function isSame(one: SearchPlan, other: SearchPlan): boolean {
  if (one.type !== other.type || one.limit !== other.limit || one.clauses.length !== other.clauses.length) return false;
  if (one.sort.length !== other.sort.length) return false;
  const isEqual = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);
  return (
    one.clauses.every((clause, at) => isEqual(clause, other.clauses[at])) &&
    one.sort.every((key, at) => isEqual(key, other.sort[at]))
  );
}

/** The patient that the whole first page is about; undefined: the plan is of another kind. */
function onePatient(plan: SearchPlan): string | undefined {
  if (plan.total || plan.after !== undefined || plan.type === 'AuditEvent' || plan.type === 'Patient') return undefined;
  for (const clause of plan.clauses) {
    if (clause.kind !== 'reference' || clause.param !== patientParam || clause.any.length !== 1) continue;
    const [value] = clause.any;
    if (value?.kind === 'literal' && value.type !== undefined) return `${value.type}/${value.id}`;
  }
  return undefined;
}

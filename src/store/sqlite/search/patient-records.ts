/**
 * Caches the records of patients, so that a search for one patient needs no read of the file, not even after a write. The
 * cache is exact, because only this process writes the file and it announces each commit before and after. While a commit
 * about a patient is in flight, searches for that patient read the file.
 */
import type { IndexValue, SearchPlan } from '../../../fhir/search/ast.ts';
import { type Candidate, searchInMemory } from '../../../fhir/search/search-in-memory.ts';
import type { SearchResult, StoredResource } from '../../store.ts';
import type { ResourceWrite, RevisionGuard, WriteUnit } from '../../write-unit.ts';

export type PatientRecord = Candidate<StoredResource>;

/** The records of one type for one patient. `reference` is literal, such as `Patient/9990000018`. */
export interface RecordsOf {
  readonly type: string;
  readonly reference: string;
}

export interface PatientRecords {
  /** Returns undefined if the plan is not a search for one patient, or the records cannot be cached at present. */
  search(plan: SearchPlan): SearchResult | undefined;
  /** Call before writing a unit. Returns a callback to call with the outcome. */
  begin(unit: WriteUnit): (committed: boolean) => void;
}

export const patientParam = 'patient';
/** Estimated memory of a cached record apart from its text, mostly its values. */
const overheadChars = 1_200;
/** Maximum number of shared values. */
const maxShared = 5_000;

interface Cached {
  readonly records: PatientRecord[];
  chars: number;
}

type Key = string;
const keyOf = ({ type, reference }: RecordsOf): Key => `${type} ${reference}`;
const nameOf = ({ type, id }: { readonly type: string; readonly id: string }): string => `${type}/${id}`;

/**
 * Caches records of up to `maxChars` characters in total; the patients looked up earliest are dropped first. `load` returns
 * all current records of a type that refer to the patient, or undefined if there are too many.
 */
export function openPatientRecords(
  load: (of: RecordsOf) => readonly PatientRecord[] | undefined,
  maxChars: number,
): PatientRecords {
  const cached = new Map<Key, Cached>();
  /** The key of each cached record, by its `type/id`. */
  const keyOfRecord = new Map<string, Key>();
  /** Number of commits in flight about each key and each `type/id`. */
  const inFlight = new Map<string, number>();
  const shared = new Map<string, IndexValue>();
  let chars = 0;

  /** Returns one object for equal values, because most values occur in many records. */
  const share = (value: IndexValue): IndexValue => {
    const text = JSON.stringify(value);
    const known = shared.get(text);
    if (known !== undefined) return known;
    if (shared.size === maxShared) shared.clear();
    shared.set(text, value);
    return value;
  };

  const drop = (key: Key): void => {
    const entry = cached.get(key);
    if (entry === undefined) return;
    cached.delete(key);
    chars -= entry.chars;
    for (const { resource } of entry.records) keyOfRecord.delete(nameOf(resource));
  };

  const resize = (entry: Cached, by: number): void => {
    entry.chars += by;
    chars += by;
    while (chars > maxChars) {
      const oldest = cached.keys().next().value;
      if (oldest === undefined) return;
      drop(oldest);
    }
  };

  const sizeOf = (record: PatientRecord | undefined): number =>
    record === undefined ? 0 : record.resource.body.length + overheadChars;

  const indexOf = (entry: Cached, id: string): number => entry.records.findIndex(({ resource }) => resource.id === id);

  const put = (key: Key, entry: Cached, { resource, values }: PatientRecord): void => {
    const record = { resource, values: values.map(share) };
    const at = indexOf(entry, resource.id);
    const before = entry.records[at];
    entry.records[at === -1 ? entry.records.length : at] = record;
    keyOfRecord.set(nameOf(resource), key);
    resize(entry, sizeOf(record) - sizeOf(before));
  };

  const remove = (entry: Cached, { resource }: PatientRecord): void => {
    const [record] = entry.records.splice(indexOf(entry, resource.id), 1);
    keyOfRecord.delete(nameOf(resource));
    resize(entry, -sizeOf(record));
  };

  const keep = (of: RecordsOf, records: readonly PatientRecord[]): void => {
    const key = keyOf(of);
    const names = records.map(({ resource }) => nameOf(resource));
    if (inFlight.has(key) || names.some((name) => inFlight.has(name))) return;
    // A record about two patients would have to be updated under both keys, so it is not cached.
    if (names.some((name) => keyOfRecord.has(name)) || records.some(({ values }) => keysOf(of.type, values).length > 1))
      return;
    if (records.reduce((sum, record) => sum + sizeOf(record), overheadChars) > maxChars) return;
    const entry: Cached = { records: [], chars: 0 };
    cached.set(key, entry);
    resize(entry, overheadChars);
    for (const record of records) put(key, entry, record);
  };

  const findCached = (name: string): { key: Key; entry: Cached } | undefined => {
    const key = keyOfRecord.get(name);
    const entry = key === undefined ? undefined : cached.get(key);
    return key === undefined || entry === undefined ? undefined : { key, entry };
  };

  const applyWrite = (write: ResourceWrite): void => {
    const { type, id, version, lastUpdatedMs, body, labels, index } = write;
    const old = findCached(nameOf(write));
    const before = old?.entry.records.find(({ resource }) => resource.id === id);
    if (old !== undefined && before !== undefined) remove(old.entry, before);
    if (body === null) return;
    const keys = keysOf(type, index);
    const [key = ''] = keys;
    const entry = cached.get(key);
    // The revision of a resource that was deleted and is created again is not known here.
    const revision = before !== undefined ? before.resource.revision + 1 : version === 1 ? 1 : undefined;
    if (entry === undefined || keys.length > 1 || revision === undefined) for (const each of keys) drop(each);
    else put(key, entry, { resource: { type, id, version, lastUpdatedMs, body, labels, revision }, values: index });
  };

  const applyGuard = (guard: RevisionGuard): void => {
    const found = findCached(nameOf(guard));
    const record = found?.entry.records.find(({ resource }) => resource.id === guard.id);
    if (found === undefined || record === undefined) return;
    const { expectRevision, labels = record.resource.labels } = guard;
    put(found.key, found.entry, { ...record, resource: { ...record.resource, labels, revision: expectRevision + 1 } });
  };

  const about = ({ writes, guards }: WriteUnit): readonly string[] => {
    const names = [...writes, ...guards].map(nameOf);
    const held = names.flatMap((name) => keyOfRecord.get(name) ?? []);
    return [...names, ...held, ...writes.flatMap(({ type, index }) => keysOf(type, index))];
  };

  return {
    search(plan) {
      const of = onePatient(plan);
      if (of === undefined) return undefined;
      const key = keyOf(of);
      if (inFlight.has(key)) return undefined;
      const entry = cached.get(key);
      if (entry !== undefined) {
        const found = searchInMemory(plan, entry.records);
        // Do the same database read if the result is empty, so that timing does not reveal that a record exists.
        if ((found.total ?? found.matches.length) === 0) load({ type: of.type, reference: `${of.reference}.` });
        return found;
      }
      const records = load(of);
      if (records === undefined) return undefined;
      keep(of, records);
      return searchInMemory(plan, records);
    },
    begin(unit) {
      const names = about(unit);
      for (const name of names) inFlight.set(name, (inFlight.get(name) ?? 0) + 1);
      return (committed) => {
        for (const name of names) {
          const left = (inFlight.get(name) ?? 1) - 1;
          if (left === 0) inFlight.delete(name);
          else inFlight.set(name, left);
        }
        if (!committed) return;
        const written = new Set(unit.writes.map(nameOf));
        for (const write of unit.writes) applyWrite(write);
        for (const guard of unit.guards) if (!written.has(nameOf(guard))) applyGuard(guard);
      };
    },
  };
}

/** Returns the keys of a resource with these values. */
function keysOf(type: string, values: readonly IndexValue[]): readonly Key[] {
  const keys = new Set<Key>();
  for (const value of values) {
    if (value.kind !== 'reference' || value.param !== patientParam) continue;
    keys.add(keyOf({ type, reference: `${value.type}/${value.id}` }));
  }
  return [...keys];
}

/** Returns the patient whose records the plan selects from, or undefined if it does not name exactly one. */
function onePatient({ type, clauses }: SearchPlan): RecordsOf | undefined {
  if (type === 'AuditEvent') return undefined;
  for (const clause of clauses) {
    if (clause.kind !== 'reference' || clause.param !== patientParam || clause.any.length !== 1) continue;
    const [value] = clause.any;
    if (value?.kind === 'literal' && value.type !== undefined) return { type, reference: `${value.type}/${value.id}` };
  }
  return undefined;
}

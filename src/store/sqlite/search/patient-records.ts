/**
 * The records of patients, kept in memory: a search that names one patient is answered without reading the file, again
 * after a write too. Exact, because this process alone writes the file and says before and after each commit what it
 * writes: while a commit about a patient is under way, the file is read.
 */
import type { IndexValue, SearchPlan } from '../../../fhir/search/ast.ts';
import { type Candidate, searchInMemory } from '../../../fhir/search/search-in-memory.ts';
import type { SearchResult, StoredResource } from '../../store.ts';
import type { ResourceWrite, RevisionGuard, WriteUnit } from '../../write-unit.ts';

export type PatientRecord = Candidate<StoredResource>;

/** Whose records of which type: `reference` is the literal reference to the patient, such as `Patient/9990000018`. */
export interface RecordsOf {
  readonly type: string;
  readonly reference: string;
}

export interface PatientRecords {
  /** What the plan finds; undefined: it is no first look at the records of one patient, or they are not to be kept. */
  search(plan: SearchPlan): SearchResult | undefined;
  /** To be told of each unit before it is written; the function it gives, of whether it was committed. */
  begin(unit: WriteUnit): (committed: boolean) => void;
}

export const patientParam = 'patient';
/** What a kept record takes beside its text: its values, for the greater part. */
const overheadChars = 1_200;
const maxShared = 5_000;

interface Kept {
  readonly records: PatientRecord[];
  chars: number;
}

type Key = string;
const keyOf = ({ type, reference }: RecordsOf): Key => `${type} ${reference}`;
const nameOf = ({ type, id }: { readonly type: string; readonly id: string }): string => `${type}/${id}`;

/**
 * `load` gives all current records of a type that refer to the patient, or undefined when they are too many. Kept are
 * records of up to `maxChars` characters; the patients looked up first go first.
 */
export function openPatientRecords(
  load: (of: RecordsOf) => readonly PatientRecord[] | undefined,
  maxChars: number,
): PatientRecords {
  const kept = new Map<Key, Kept>();
  /** Under which key a kept record stands, by its `type/id`. */
  const keyOfRecord = new Map<string, Key>();
  /** Keys, and names of records, that commits under way are about, with how many they are. */
  const underWay = new Map<string, number>();
  const shared = new Map<string, IndexValue>();
  let chars = 0;

  /** Most values are the same in many records. */
  const share = (value: IndexValue): IndexValue => {
    const text = JSON.stringify(value);
    const known = shared.get(text);
    if (known !== undefined) return known;
    if (shared.size === maxShared) shared.clear();
    shared.set(text, value);
    return value;
  };

  const drop = (key: Key): void => {
    const entry = kept.get(key);
    if (entry === undefined) return;
    kept.delete(key);
    chars -= entry.chars;
    for (const { resource } of entry.records) keyOfRecord.delete(nameOf(resource));
  };

  const resize = (entry: Kept, by: number): void => {
    entry.chars += by;
    chars += by;
    while (chars > maxChars) {
      const oldest = kept.keys().next().value;
      if (oldest === undefined) return;
      drop(oldest);
    }
  };

  const sizeOf = (record: PatientRecord | undefined): number =>
    record === undefined ? 0 : record.resource.body.length + overheadChars;

  const indexOf = (entry: Kept, id: string): number => entry.records.findIndex(({ resource }) => resource.id === id);

  const put = (key: Key, entry: Kept, { resource, values }: PatientRecord): void => {
    const record = { resource, values: values.map(share) };
    const at = indexOf(entry, resource.id);
    const before = entry.records[at];
    entry.records[at === -1 ? entry.records.length : at] = record;
    keyOfRecord.set(nameOf(resource), key);
    resize(entry, sizeOf(record) - sizeOf(before));
  };

  const remove = (entry: Kept, { resource }: PatientRecord): void => {
    const [record] = entry.records.splice(indexOf(entry, resource.id), 1);
    keyOfRecord.delete(nameOf(resource));
    resize(entry, -sizeOf(record));
  };

  const keep = (of: RecordsOf, records: readonly PatientRecord[]): void => {
    const key = keyOf(of);
    const names = records.map(({ resource }) => nameOf(resource));
    if (underWay.has(key) || names.some((name) => underWay.has(name))) return;
    // One about two patients would have to be changed under both.
    if (names.some((name) => keyOfRecord.has(name)) || records.some(({ values }) => keysOf(of.type, values).length > 1))
      return;
    if (records.reduce((sum, record) => sum + sizeOf(record), overheadChars) > maxChars) return;
    const entry: Kept = { records: [], chars: 0 };
    kept.set(key, entry);
    resize(entry, overheadChars);
    for (const record of records) put(key, entry, record);
  };

  const findKept = (name: string): { key: Key; entry: Kept } | undefined => {
    const key = keyOfRecord.get(name);
    const entry = key === undefined ? undefined : kept.get(key);
    return key === undefined || entry === undefined ? undefined : { key, entry };
  };

  const applyWrite = (write: ResourceWrite): void => {
    const { type, id, version, lastUpdatedMs, body, labels, index } = write;
    const old = findKept(nameOf(write));
    const before = old?.entry.records.find(({ resource }) => resource.id === id);
    if (old !== undefined && before !== undefined) remove(old.entry, before);
    if (body === null) return;
    const keys = keysOf(type, index);
    const [key = ''] = keys;
    const entry = kept.get(key);
    // The revision of what was deleted before is not known here.
    const revision = before !== undefined ? before.resource.revision + 1 : version === 1 ? 1 : undefined;
    if (entry === undefined || keys.length > 1 || revision === undefined) for (const each of keys) drop(each);
    else put(key, entry, { resource: { type, id, version, lastUpdatedMs, body, labels, revision }, values: index });
  };

  const applyGuard = (guard: RevisionGuard): void => {
    const found = findKept(nameOf(guard));
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
      if (underWay.has(key)) return undefined;
      const entry = kept.get(key);
      if (entry !== undefined) {
        const found = searchInMemory(plan, entry.records);
        // Where nothing is shown, its time must not tell that something is kept: the file is asked as for a child of whom
        // nothing is known.
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
      for (const name of names) underWay.set(name, (underWay.get(name) ?? 0) + 1);
      return (committed) => {
        for (const name of names) {
          const left = (underWay.get(name) ?? 1) - 1;
          if (left === 0) underWay.delete(name);
          else underWay.set(name, left);
        }
        if (!committed) return;
        const written = new Set(unit.writes.map(nameOf));
        for (const write of unit.writes) applyWrite(write);
        for (const guard of unit.guards) if (!written.has(nameOf(guard))) applyGuard(guard);
      };
    },
  };
}

/** The keys under which a resource with these values belongs. */
function keysOf(type: string, values: readonly IndexValue[]): readonly Key[] {
  const keys = new Set<Key>();
  for (const value of values) {
    if (value.kind !== 'reference' || value.param !== patientParam) continue;
    keys.add(keyOf({ type, reference: `${value.type}/${value.id}` }));
  }
  return [...keys];
}

/** Whose records the plan selects from; undefined: the plan is of another kind. */
function onePatient({ type, clauses }: SearchPlan): RecordsOf | undefined {
  if (type === 'AuditEvent') return undefined;
  for (const clause of clauses) {
    if (clause.kind !== 'reference' || clause.param !== patientParam || clause.any.length !== 1) continue;
    const [value] = clause.any;
    if (value?.kind === 'literal' && value.type !== undefined) return { type, reference: `${value.type}/${value.id}` };
  }
  return undefined;
}

/** Copies a whole store into another, a page at a time, and compares both at the end. */
import {
  type Copied,
  type CopyKind,
  type CopyPosition,
  type CopyRecords,
  type CopySource,
  type CopyTarget,
  copyKinds,
} from '../store/store-copy.ts';

/** Progress of a migration. `verified`: the kind is the same in both stores. */
export interface MigrationProgress {
  readonly kind: CopyKind;
  readonly step: 'copied' | 'verified';
  /** Number of records, including those of an earlier run that this one continues. */
  readonly records: number;
  readonly of: number;
}

export interface MigrationOptions {
  /** Maximum number of records written together. */
  readonly pageRecords: number;
  readonly onProgress: (progress: MigrationProgress) => void;
}

/** Approximate number of characters of text written together. */
const pageChars = 4 * 1024 * 1024;

/** Returns the kinds that differ. If none does, the target is complete and may be used. */
export async function migrateStore(
  source: CopySource,
  target: CopyTarget,
  options: MigrationOptions,
): Promise<readonly CopyKind[]> {
  for (const kind of copyKinds) await copyKind(source, target, kind, options);
  const differing: CopyKind[] = [];
  for (const kind of copyKinds) {
    const expected = target.expected(kind, source.read(kind));
    const held = await target.held(kind);
    if (held.count !== expected.count || held.hash !== expected.hash) differing.push(kind);
    else options.onProgress({ kind, step: 'verified', records: held.count, of: expected.count });
  }
  if (differing.length === 0) await target.complete();
  return differing;
}

async function copyKind<K extends CopyKind>(
  source: CopySource,
  target: CopyTarget,
  kind: K,
  { pageRecords, onProgress }: MigrationOptions,
): Promise<void> {
  const of = source.count(kind);
  const after = target.positionOf(kind);
  let records = after === undefined ? 0 : of - source.countBehind(kind, after);
  for (const { page, position } of inPages(source.read(kind, after), pageRecords)) {
    await target.write(kind, page, position);
    records += page.length;
    onProgress({ kind, step: 'copied', records, of });
  }
}

function* inPages<K extends CopyKind>(
  copied: Iterable<Copied<K>>,
  pageRecords: number,
): Iterable<{ readonly page: readonly CopyRecords[K][]; readonly position: CopyPosition }> {
  let page: CopyRecords[K][] = [];
  let chars = 0;
  let last: CopyPosition = [];
  for (const { record, position } of copied) {
    page.push(record);
    last = position;
    chars += charsOf(record);
    if (page.length < pageRecords && chars < pageChars) continue;
    yield { page, position: last };
    page = [];
    chars = 0;
  }
  if (page.length > 0) yield { page, position: last };
}

function charsOf(record: CopyRecords[CopyKind]): number {
  if ('body' in record) return record.body.length;
  if ('versions' in record) return record.versions.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
  return 0;
}

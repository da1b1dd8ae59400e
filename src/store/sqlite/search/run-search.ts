/** Runs searches on the reading connection. */
import type { KeysetPosition, SearchPlan } from '../../../fhir/search/ast.ts';
import type { SearchResult, StoredResource } from '../../store.ts';
import { listAt, numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';
import { storedAudit, type TextOf } from '../read/read-resource.ts';
import { compileAuditSearch } from './compile-audit-search.ts';
import { type CompiledSearch, compileSearch } from './compile-search.ts';

/** Reads page and total from one snapshot. */
export function runSearch(statements: Statements, textOf: TextOf, plan: SearchPlan): SearchResult {
  const audits = plan.type === 'AuditEvent';
  const compiled = audits ? compileAuditSearch(plan) : compileSearch(plan);
  const toMatch = audits
    ? (row: Row) => auditMatch(statements, textOf, row)
    : (row: Row) => resourceMatch(statements, plan, row);
  if (!plan.total) return { ...page(statements, plan, compiled, toMatch), total: undefined };
  statements.run('BEGIN');
  try {
    const count = statements.row(compiled.count.sql, ...compiled.count.params);
    return { ...page(statements, plan, compiled, toMatch), total: count === undefined ? 0 : numberAt(count, 0) };
  } finally {
    statements.run('COMMIT');
  }
}

function page(
  statements: Statements,
  plan: SearchPlan,
  compiled: CompiledSearch,
  toMatch: (row: Row) => StoredResource,
): Pick<SearchResult, 'matches' | 'next'> {
  if (plan.limit === 0) return { matches: [], next: undefined };
  const rows = statements.rows(compiled.page.sql, ...compiled.page.params);
  const matches: StoredResource[] = [];
  let length = 0;
  for (const row of rows) {
    if (matches.length === plan.limit || length >= (plan.maxLength ?? Number.POSITIVE_INFINITY)) break;
    const match = toMatch(row);
    length += match.body.length;
    matches.push(match);
  }
  const last = matches.length < rows.length ? rows[matches.length - 1] : undefined;
  return { matches, next: last === undefined ? undefined : position(plan, last) };
}

function position(plan: SearchPlan, row: Row): KeysetPosition {
  if (plan.type === 'AuditEvent') return [numberAt(row, 0), numberAt(row, 1)];
  return [...row.slice(resourceColumns, resourceColumns + plan.sort.length), textAt(row, 0)] as KeysetPosition;
}

const resourceColumns = 6;

/** Decodes a row with the columns of `CompiledSearch.page`. */
export function resourceMatch(statements: Statements, plan: SearchPlan, row: Row): StoredResource {
  return {
    type: plan.type,
    id: textAt(row, 0),
    version: numberAt(row, 1),
    lastUpdatedMs: numberAt(row, 3),
    body: plan.sort.length === 0 ? textAt(row, resourceColumns) : readBody(statements, numberAt(row, 5)),
    labels: listAt(row, 4),
    revision: numberAt(row, 2),
  };
}

/** Called after sorting, so that only the texts of the page are read. */
function readBody(statements: Statements, versionRow: number): string {
  const found = statements.row('SELECT body FROM version WHERE row = ?', versionRow);
  if (found === undefined) throw new Error('a current version has no row');
  return textAt(found, 0);
}

function auditMatch(statements: Statements, textOf: TextOf, row: Row): StoredResource {
  const found = statements.row('SELECT id, recordedMs, body, keys FROM audit WHERE seq = ?', numberAt(row, 1));
  if (found === undefined) throw new Error('an audit key has no audit');
  return storedAudit(found, textOf);
}

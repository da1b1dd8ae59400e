/**
 * Compiles a history plan to SQL. History of one resource walks its versions. Any other history merges ranges of
 * version_label, each newest first, so that the cost of a page does not depend on what others have written.
 */
import type { HistoryPlan, HistoryScope } from '../../history.ts';
import { type CompiledSql, limitClause } from '../connection/compiled-sql.ts';

type Params = CompiledSql['params'];

export interface CompiledHistory {
  /** Columns lastUpdatedMs, row of version, version; newest first, one row more than `limit`. */
  readonly page: CompiledSql;
  /** One column: the number of all entries. */
  readonly count: CompiledSql;
}

export function compileHistory(plan: HistoryPlan): CompiledHistory {
  const { id, after } = plan;
  const [scope] = plan.scopes;
  const branches =
    id !== undefined && scope !== undefined
      ? [compileInstance(plan, scope, id)]
      : plan.scopes.flatMap((each) => keysOf(each).map((label) => compileRange(plan, each, label)));
  const all = branches.length === 0 ? [{ sql: 'SELECT 0 AS ms, 0 AS row, 0 AS n WHERE 0', params: [] }] : branches;
  const position: Params = after === undefined ? [] : id === undefined ? after : after.slice(0, 1);
  const keyset =
    after === undefined ? '' : id === undefined ? ' AND (k.lastUpdatedMs, k.row) < (?, ?)' : ' AND v.version < ?';
  const order = id === undefined ? 'ms DESC, row DESC' : 'n DESC';
  return {
    page: {
      sql: `${all.map(({ sql }) => sql + keyset).join(' UNION ')} ORDER BY ${order} ${limitClause}`,
      params: [...all.flatMap(({ params }) => [...params, ...position]), plan.limit + 1],
    },
    count: {
      sql: `SELECT count(*) FROM (${all.map(({ sql }) => sql).join(' UNION ')})`,
      params: all.flatMap(({ params }) => params),
    },
  };
}

/** Returns the labels whose ranges together contain every version of the scope. */
function keysOf({ now, written }: HistoryScope): string[] {
  return now.length === 0 ? [] : [...new Set([...now, ...written])];
}

function compileRange(plan: HistoryPlan, scope: HistoryScope, label: string): CompiledSql {
  const conditions = compileConditions(plan, scope, 'k');
  return {
    sql: `SELECT k.lastUpdatedMs AS ms, k.row AS row, v.version AS n
      FROM version_label k CROSS JOIN version v ON v.row = k.row
      CROSS JOIN resource r ON r.type = v.type AND r.id = v.id
      WHERE k.label = ? AND k.type = ?${conditions.sql}`,
    params: [label, scope.type, ...conditions.params],
  };
}

function compileInstance(plan: HistoryPlan, scope: HistoryScope, id: string): CompiledSql {
  const conditions = compileConditions(plan, scope, 'v');
  return {
    sql: `SELECT v.lastUpdatedMs AS ms, v.row AS row, v.version AS n
      FROM version v CROSS JOIN resource r ON r.type = v.type AND r.id = v.id
      WHERE v.type = ? AND v.id = ?${conditions.sql}`,
    params: [scope.type, id, ...conditions.params],
  };
}

/** Compiles the conditions of access and time. `timed` is the table whose index has the time. */
function compileConditions({ sinceMs, at }: HistoryPlan, scope: HistoryScope, timed: 'k' | 'v'): CompiledSql {
  const seen = hasLabel('r.labels', [...scope.now, ...(scope.former ?? [])]);
  const now = hasLabel('r.labels', scope.now);
  const included = (version: 'v' | 'later'): CompiledSql => {
    const written = hasLabel(`${version}.labels`, scope.written);
    return {
      sql: `(${written.sql} OR (${version}.version = r.version AND ${now.sql}))`,
      params: [...written.params, ...now.params],
    };
  };
  const parts: CompiledSql[] = [seen, included('v')];
  if (sinceMs !== undefined) parts.push({ sql: `${timed}.lastUpdatedMs >= ?`, params: [sinceMs] });
  if (at !== undefined) {
    const later = included('later');
    parts.push(
      { sql: `${timed}.lastUpdatedMs < ?`, params: [at.endMs] },
      { sql: '(v.body IS NOT NULL OR v.lastUpdatedMs >= ?)', params: [at.startMs] },
      {
        // Only the next included version matters. The index finds it directly, however many versions exist.
        sql: `coalesce((SELECT later.lastUpdatedMs FROM version later WHERE later.type = v.type AND later.id = v.id
          AND later.version > v.version AND ${later.sql} ORDER BY later.version LIMIT 1) > ?, 1)`,
        params: [...later.params, at.startMs],
      },
    );
  }
  return { sql: parts.map(({ sql }) => ` AND ${sql}`).join(''), params: parts.flatMap(({ params }) => params) };
}

function hasLabel(labels: string, any: readonly string[]): CompiledSql {
  const marks = any.map(() => '?').join(', ');
  return { sql: `EXISTS (SELECT 1 FROM json_each(${labels}) WHERE value IN (${marks}))`, params: any };
}

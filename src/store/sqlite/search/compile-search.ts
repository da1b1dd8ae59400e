/**
 * Compiles a search plan over resources to SQL. The most selective clause drives through index_value_by_value; if none can,
 * the primary key does. Every other clause probes the rows of the candidate.
 */
import { patientParameters } from '../../../fhir/patient-compartment.ts';
import type { KeysetPosition, SearchClause, SearchPlan } from '../../../fhir/search/ast.ts';
import { type CompiledSql, limitClause } from '../connection/compiled-sql.ts';
import { indexKind } from '../connection/schema.ts';
import { anyOf, compileValues, instantCondition, oneOf, type ValueClause } from './compile-value.ts';

export interface CompiledSearch {
  /**
   * Columns id, version, revision, lastUpdatedMs, labels, versionRow, then one for each sort key, or body without sort keys.
   * Selects one row more than `limit`.
   */
  readonly page: CompiledSql;
  /** One column: the number of all matches. */
  readonly count: CompiledSql;
}

const columns = 'r.id, r.version, r.revision, r.lastUpdatedMs, r.labels, r.versionRow';

const body = '(SELECT v.body FROM version v WHERE v.row = r.versionRow)';

/** Compiles a plan of any type except AuditEvent. */
export function compileSearch(plan: SearchPlan): CompiledSearch {
  const { from, id, where } = compileSource(plan);
  const sortColumns = plan.sort.map(({ param, descending }) => sortColumn(param, descending));
  const count = {
    sql: `SELECT count(*) FROM ${from} WHERE ${where.sql}`,
    params: where.params,
  };
  if (plan.sort.length === 0) {
    const after = plan.after?.[0];
    const keyset = after === undefined ? '' : ` AND ${id} > ?`;
    return {
      count,
      page: {
        sql: `SELECT ${columns}, ${body} FROM ${from} WHERE ${where.sql}${keyset} ORDER BY ${id} ${limitClause}`,
        params: [...count.params, ...(after === undefined ? [] : [after]), plan.limit + 1],
      },
    };
  }
  const named = sortColumns.map(({ sql }, index) => `${sql} AS s${index}`);
  const keyset = plan.after === undefined ? { sql: '1', params: [] } : compileKeyset(plan, plan.after);
  const order = plan.sort.map(({ descending }, index) => `s${index} IS NULL, s${index} ${descending ? 'DESC' : 'ASC'}`);
  return {
    count,
    page: {
      sql: `SELECT * FROM (SELECT ${[columns, ...named].join(', ')} FROM ${from} WHERE ${where.sql})
        WHERE ${keyset.sql} ORDER BY ${order.join(', ')}, id ${limitClause}`,
      params: [...sortColumns.flatMap(({ params }) => params), ...count.params, ...keyset.params, plan.limit + 1],
    },
  };
}

interface Source {
  readonly from: string;
  /** The id column whose order needs no sort. */
  readonly id: string;
  readonly where: CompiledSql;
}

function compileSource({ type, clauses }: SearchPlan): Source {
  const driver = chooseDriver(clauses);
  const joined = driver !== undefined && givesEachIdOnce(driver);
  const conditions = [
    driver === undefined ? { sql: 'r.type = ?', params: [type] } : drive(type, driver, joined),
    { sql: 'r.deleted = 0', params: [] },
    ...clauses.filter((clause) => clause !== driver).map(probe),
  ];
  const index = 'index_value x INDEXED BY index_value_by_value';
  return {
    from: joined ? `${index} CROSS JOIN resource r` : 'resource r',
    id: joined ? 'x.id' : 'r.id',
    where: {
      sql: conditions.map(({ sql }) => sql).join(' AND '),
      params: conditions.flatMap(({ params }) => params),
    },
  };
}

function drive(type: string, driver: ValueClause, joined: boolean): CompiledSql {
  const { sql, params } = compileValues(driver);
  if (joined) return { sql: `x.type = ? AND ${sql} AND r.type = x.type AND r.id = x.id`, params: [type, ...params] };
  const ids = `SELECT x.id FROM index_value x INDEXED BY index_value_by_value WHERE x.type = ? AND ${sql}`;
  return { sql: `r.type = ? AND r.id IN (${ids})`, params: [type, type, ...params] };
}

const identifierRank = 2;

/**
 * Returns the rank of a clause as driver (the lowest drives), or undefined if it cannot drive. Only clauses that name one
 * child or one plan rank before the single access label. Otherwise the duration of a search would reveal how much exists
 * that the caller may not see.
 */
function driverRank(clause: SearchClause): number | undefined {
  switch (clause.kind) {
    case 'reference':
      return patientParameters.has(clause.param) ? 1 : 4;
    case 'token':
      if (clause.negated) return undefined;
      return clause.param === 'identifier' && clause.any.every(({ code }) => code !== undefined) ? identifierRank : 8;
    case 'label':
      return clause.any.length === 1 ? 3 : 7;
    case 'uri':
      return 5;
    case 'string':
      return 6;
    case 'date':
      return 9;
    case 'id':
    case 'last-updated':
    case 'missing':
      return undefined;
  }
}

function chooseDriver(clauses: readonly SearchClause[]): ValueClause | undefined {
  if (clauses.some(({ kind }) => kind === 'id')) return undefined;
  let best: ValueClause | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const clause of clauses) {
    const rank = driverRank(clause);
    if (rank === undefined || rank >= bestRank) continue;
    best = clause as ValueClause;
    bestRank = rank;
  }
  return best;
}

/** Maximum number of values in a clause of a plan that reads few rows. */
const maxFew = 16;

/** Whether the plan reads the rows of a few children or records only, each by one index probe, whatever the store holds. */
export function readsFew({ type, clauses, total }: SearchPlan): boolean {
  return clauses.some((clause) => {
    if (!('any' in clause) || clause.any.length > maxFew) return false;
    if (clause.kind === 'id') return true;
    if (clause.kind === 'reference') {
      if (type === 'AuditEvent' && (total || clause.any.length > 1)) return false;
      return patientParameters.has(clause.param) && clause.any.every(({ kind }) => kind === 'literal');
    }
    return clause.kind === 'token' && type !== 'AuditEvent' && driverRank(clause) === identifierRank;
  });
}

/** Whether a resource can have the value only once, so that the index returns ids in order and without repetition. */
function givesEachIdOnce(clause: ValueClause): boolean {
  const [value] = clause.any;
  if (value === undefined || clause.any.length > 1) return false;
  if (clause.kind === 'label') return true;
  if (typeof value === 'string') return false;
  if ('kind' in value) return value.kind === 'literal' && value.type !== undefined;
  return 'code' in value && value.code !== undefined && 'system' in value && value.system !== undefined;
}

function probe(clause: SearchClause): CompiledSql {
  switch (clause.kind) {
    case 'id':
      return oneOf('r.id', clause.any);
    case 'last-updated': {
      const { sql, params } = anyOf(clause.any, instantCondition('r.lastUpdatedMs'));
      return { sql: `(${sql})`, params };
    }
    case 'missing': {
      if (clause.param === '_id' || clause.param === '_lastUpdated')
        return { sql: clause.missing ? '0' : '1', params: [] };
      const exists = ownRow('x.param = ?');
      return { sql: clause.missing ? `NOT ${exists}` : exists, params: [clause.param] };
    }
    default: {
      const { sql, params } = compileValues(clause);
      const exists = ownRow(sql);
      return { sql: clause.kind === 'token' && clause.negated ? `NOT ${exists}` : exists, params };
    }
  }
}

/** Uses the primary key, where the rows of one resource are adjacent. SQLite would choose the other index. */
function ownRow(condition: string): string {
  return `EXISTS (SELECT 1 FROM index_value x INDEXED BY sqlite_autoindex_index_value_1 WHERE x.type = r.type AND x.id = r.id AND ${condition})`;
}

function sortColumn(param: string, descending: boolean): CompiledSql {
  if (param === '_id') return { sql: 'r.id', params: [] };
  if (param === '_lastUpdated') return { sql: 'r.lastUpdatedMs', params: [] };
  const value = descending ? `max(CASE s.kind WHEN ${indexKind.date} THEN s.v2 ELSE s.v1 END)` : 'min(s.v1)';
  return {
    sql: `(SELECT ${value} FROM index_value s
      WHERE s.type = r.type AND s.id = r.id AND s.param = ? AND s.kind <> ${indexKind['reference-identifier']})`,
    params: [param],
  };
}

/** Selects the rows after a position: later at one sort key and equal at all keys before it. Missing values come last. */
function compileKeyset(plan: SearchPlan, after: KeysetPosition): CompiledSql {
  const alternatives: string[] = [];
  const params: (string | number | null)[] = [];
  const equal: string[] = [];
  const equalParams: (string | number | null)[] = [];
  for (const [index, { descending }] of plan.sort.entries()) {
    const value = after[index] ?? null;
    if (value !== null) {
      const later = `(s${index} ${descending ? '<' : '>'} ? OR s${index} IS NULL)`;
      alternatives.push([...equal, later].join(' AND '));
      params.push(...equalParams, value);
    }
    equal.push(`s${index} IS ?`);
    equalParams.push(value);
  }
  alternatives.push([...equal, 'id > ?'].join(' AND '));
  params.push(...equalParams, after[plan.sort.length] ?? null);
  return { sql: `(${alternatives.join(' OR ')})`, params };
}

/** Compiles a search plan over AuditEvents. One key drives in the order of time; the rest are probes of exact keys. */

import { fault } from '../../fhir/fault.ts';
import type { ReferenceValue, SearchClause, SearchPlan, TokenValue } from '../../fhir/search/ast.ts';
import { auditTokenSystems } from '../store.ts';
import { auditReferences, labelKey, referenceKey } from './audit-key.ts';
import { type CompiledSearch, limit } from './compile-search.ts';
import { anyOf, instantCondition, nothing } from './compile-value.ts';
import type { CompiledSql } from './write-op.ts';

/** Lower drives first; the rank of a label, and what drives in its absence. */
const driverRanks: Readonly<Record<string, number>> = { patient: 1, entity: 2, agent: 4 };
const labelRank = 3;
const lastRank = 4;

/** Columns of a page: recordedMs, seq. The only order is by time, with the sequence as tie-breaker. */
export function compileAuditSearch(plan: SearchPlan): CompiledSearch {
  const descending = plan.sort[0]?.descending ?? true;
  if (plan.sort.some(({ param }) => param !== 'date' && param !== '_lastUpdated')) {
    throw fault('not-supported', 'AuditEvents are sorted by date only.', { expression: ['_sort'] });
  }
  const driver = chooseDriver(plan.clauses);
  const driverKeys = driver === undefined ? undefined : exactKeys(driver);
  const joined = driverKeys?.length === 1 ? driverKeys[0] : undefined;
  const time = joined === undefined ? 'a' : 'd';
  const conditions: CompiledSql[] =
    joined === undefined
      ? [{ sql: 'a.recordedMs >= ?', params: [Number.MIN_SAFE_INTEGER] }]
      : [{ sql: 'd.key = ?', params: [joined] }];
  for (const clause of plan.clauses) {
    if (clause !== driver || joined === undefined) conditions.push(condition(clause, time, clause === driver));
  }
  const keysSuffice = joined !== undefined && !plan.clauses.some(readsRow);
  const from = joined === undefined ? 'audit a' : keysSuffice ? 'audit_key d' : 'audit_key d CROSS JOIN audit a';
  if (joined !== undefined && !keysSuffice) conditions.push({ sql: 'a.seq = d.seq', params: [] });
  const where = conditions.map(({ sql }) => sql).join(' AND ');
  const params = conditions.flatMap((compiled) => compiled.params);
  const keyset =
    plan.after === undefined ? '' : ` AND (${time}.recordedMs, ${time}.seq) ${descending ? '<' : '>'} (?, ?)`;
  const position = plan.after === undefined ? [] : [plan.after[0] ?? null, plan.after[1] ?? null];
  const direction = descending ? 'DESC' : 'ASC';
  return {
    count: { sql: `SELECT count(*) FROM ${from} WHERE ${where}`, params },
    page: {
      sql: `SELECT ${time}.recordedMs, ${time}.seq FROM ${from} WHERE ${where}${keyset}
        ORDER BY ${time}.recordedMs ${direction}, ${time}.seq ${direction} ${limit}`,
      params: [...params, ...position, plan.limit + 1],
    },
  };
}

/**
 * The range of a label holds what the caller may see, and that of an agent may hold all that another authority does: it
 * drives only where no label narrows. The ranges of a patient and of a record are short.
 */
function chooseDriver(clauses: readonly SearchClause[]): SearchClause | undefined {
  if (clauses.some(({ kind }) => kind === 'id')) return undefined;
  let best: SearchClause | undefined;
  let bestRank = lastRank + 1;
  for (const clause of clauses) {
    const rank = rankOf(clause);
    if (rank >= bestRank) continue;
    best = clause;
    bestRank = rank;
  }
  return best;
}

function rankOf(clause: SearchClause): number {
  if (clause.kind === 'label') return labelRank;
  if (clause.kind !== 'reference') return lastRank + 1;
  const isLong = (value: ReferenceValue) =>
    value.kind === 'literal' && (value.type === undefined || value.type === 'Organization');
  return clause.any.some(isLong) ? lastRank : (driverRanks[clause.param] ?? lastRank + 1);
}

/** Whether it asks for a column of `audit` that the keys do not have. */
function readsRow({ kind }: SearchClause): boolean {
  return kind === 'id' || kind === 'token' || kind === 'missing';
}

/** The keys that the clause asks for; undefined when it is not a list of exact keys. */
function exactKeys(clause: SearchClause): readonly string[] | undefined {
  if (clause.kind === 'label') return [...new Set(clause.any.map(labelKey))];
  if (clause.kind !== 'reference') return undefined;
  const rule = referenceRule(clause.param);
  if (rule === undefined) return [];
  const keys = new Set<string>();
  for (const value of clause.any) {
    if (value.kind === 'identifier') continue;
    if (value.type === undefined) return undefined;
    keys.add(referenceKey(rule.suffix, value.type, value.id));
  }
  return [...keys];
}

function condition(clause: SearchClause, time: string, drives: boolean): CompiledSql {
  switch (clause.kind) {
    case 'label':
    case 'reference': {
      const keys = exactKeys(clause);
      if (keys === undefined)
        return clause.kind === 'reference' ? anyTypeCondition(clause.param, clause.any, time) : nothing;
      if (keys.length === 0) return nothing;
      const list = keys.map(() => '?').join(', ');
      if (drives) return { sql: `a.seq IN (SELECT k.seq FROM audit_key k WHERE k.key IN (${list}))`, params: keys };
      return {
        sql: `EXISTS (SELECT 1 FROM audit_key k
          WHERE k.key IN (${list}) AND k.recordedMs = ${time}.recordedMs AND k.seq = ${time}.seq)`,
        params: keys,
      };
    }
    case 'id':
      if (clause.any.length === 0) return nothing;
      return { sql: `a.id IN (${clause.any.map(() => '?').join(', ')})`, params: clause.any };
    case 'date':
      return clause.param === 'date' ? instants(clause.any, time) : nothing;
    case 'last-updated':
      return instants(clause.any, time);
    case 'token':
      return tokenCondition(clause.param, clause.negated, clause.any);
    case 'missing':
      return missingCondition(clause.param, clause.missing);
    default:
      return nothing;
  }
}

function instants(any: Extract<SearchClause, { kind: 'date' }>['any'], time: string): CompiledSql {
  const { sql, params } = anyOf(any, instantCondition(`${time}.recordedMs`));
  return { sql: `(${sql})`, params };
}

/** Some literal names no type: all keys of that id are one range, and the suffix tells what the reference is. */
function anyTypeCondition(param: string, any: readonly ReferenceValue[], time: string): CompiledSql {
  const suffix = referenceRule(param)?.suffix ?? '';
  const { sql, params } = anyOf(any, (value): CompiledSql => {
    if (value.kind === 'identifier') return nothing;
    if (value.type !== undefined) return { sql: 'k.key = ?', params: [referenceKey(suffix, value.type, value.id)] };
    // '0' follows '/'.
    return {
      sql: 'k.key >= ? AND k.key < ? AND substr(k.key, -2) = ?',
      params: [`r:${value.id}/`, `r:${value.id}0`, suffix],
    };
  });
  return { sql: `${time}.seq IN (SELECT k.seq FROM audit_key k WHERE ${sql})`, params };
}

function tokenCondition(param: string, negated: boolean, any: readonly TokenValue[]): CompiledSql {
  if (!isTokenParam(param)) return negated ? { sql: '1', params: [] } : nothing;
  const system = auditTokenSystems[param];
  const { sql, params } = anyOf(any, (value): CompiledSql => {
    if (value.system !== undefined && value.system !== system) return nothing;
    return value.code === undefined
      ? { sql: `a.${param} <> ''`, params: [] }
      : { sql: `a.${param} = ?`, params: [value.code] };
  });
  return { sql: negated ? `NOT (${sql})` : `(${sql})`, params };
}

function missingCondition(param: string, missing: boolean): CompiledSql {
  const rule = referenceRule(param);
  if (rule !== undefined) return { sql: `(a.present & ${rule.bit}) ${missing ? '=' : '<>'} 0`, params: [] };
  if (isTokenParam(param)) return { sql: `a.${param} ${missing ? '=' : '<>'} ''`, params: [] };
  const known = param === 'date' || param === '_lastUpdated' || param === '_id';
  return { sql: known !== missing ? '1' : '0', params: [] };
}

function isTokenParam(param: string): param is keyof typeof auditTokenSystems {
  return Object.hasOwn(auditTokenSystems, param);
}

function referenceRule(param: string): { readonly suffix: string; readonly bit: number } | undefined {
  return Object.hasOwn(auditReferences, param) ? auditReferences[param as keyof typeof auditReferences] : undefined;
}

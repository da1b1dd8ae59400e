/**
 * Compiles a search plan over AuditEvents. The rows of one key drive the query, in order of time. Each other clause probes
 * exact keys.
 */

import type { ReferenceValue, SearchClause, SearchPlan, TokenValue } from '../../../fhir/search/ast.ts';
import { auditTypesOf, isAuditTokenParam } from '../../audit-write.ts';
import { afterAllThatStartWith } from '../../text-range.ts';
import { type CompiledSql, limitClause } from '../connection/compiled-sql.ts';
import { auditRoles, carriesCodes, everyAudit, labelKey, referenceKey } from '../encoding/audit-key.ts';
import type { CompiledSearch } from './compile-search.ts';
import { anyOf, instantCondition, nothing } from './compile-value.ts';

/** Rank of each reference parameter as driver; the lowest drives. */
const driverRanks: Readonly<Record<string, number>> = { patient: 1, entity: 2, agent: 4 };
const labelRank = 3;
/** Rank of references whose ranges may be long. */
const lastRank = 4;

/** The columns of a page are recordedMs and seq. The only order is by time, then by sequence number. */
export function compileAuditSearch(plan: SearchPlan): CompiledSearch {
  const descending = plan.sort[0]?.descending ?? true;
  if (plan.sort.some(({ param }) => param !== 'date' && param !== '_lastUpdated')) {
    throw new TypeError('AuditEvents sort by `date` or `_lastUpdated` only.');
  }
  const driver = chooseDriver(plan.clauses);
  const driverKeys = driver === undefined ? undefined : exactKeys(driver);
  const driving = driverKeys?.length === 1 ? driverKeys[0] : undefined;
  const key = driving ?? everyAudit;
  const codes = carriesCodes(key) ? 'd' : 'a';
  const conditions: CompiledSql[] = [{ sql: 'd.key = ?', params: [key] }];
  const named = plan.clauses.some(({ kind }) => kind === 'id');
  const prefixed = driving === undefined && !named ? plan.clauses.find(hasPrefix) : undefined;
  for (const clause of plan.clauses) {
    if (clause === prefixed) continue;
    if (clause !== driver || driving === undefined) conditions.push(condition(clause, codes));
    else if (clause.kind === 'reference') conditions.push(hasRole('d', clause.param));
  }
  const keysSuffice = !named && !(codes === 'a' && plan.clauses.some(({ kind }) => readsCodes(kind)));
  const joined = named ? 'audit a CROSS JOIN audit_key d' : 'audit_key d CROSS JOIN audit a';
  const keyed = keysSuffice ? 'audit_key d' : joined;
  // The few events of a name are read before all others, in place of all events in order of time.
  const few = prefixed === undefined ? undefined : anyTypeKeys(prefixed.param, prefixed.any);
  const from = few === undefined ? keyed : `(SELECT DISTINCT k.recordedMs, k.seq ${few.sql}) n CROSS JOIN ${keyed}`;
  if (few !== undefined) conditions.push({ sql: 'd.recordedMs = n.recordedMs AND d.seq = n.seq', params: [] });
  if (!keysSuffice) conditions.push({ sql: 'd.recordedMs = a.recordedMs AND d.seq = a.seq', params: [] });
  const where = conditions.map(({ sql }) => sql).join(' AND ');
  const params = [...(few?.params ?? []), ...conditions.flatMap((compiled) => compiled.params)];
  const keyset = plan.after === undefined ? '' : ` AND (d.recordedMs, d.seq) ${descending ? '<' : '>'} (?, ?)`;
  const position = plan.after === undefined ? [] : [plan.after[0] ?? null, plan.after[1] ?? null];
  const direction = descending ? 'DESC' : 'ASC';
  return {
    count: { sql: `SELECT count(*) FROM ${from} WHERE ${where}`, params },
    page: {
      sql: `SELECT d.recordedMs, d.seq FROM ${from} WHERE ${where}${keyset}
        ORDER BY d.recordedMs ${direction}, d.seq ${direction} ${limitClause}`,
      params: [...params, ...position, plan.limit + 1],
    },
  };
}

/**
 * Returns the clause that drives. The ranges of a patient and of a record are short. The range of a label holds what the
 * caller may see. The range of an agent may hold everything that another authority does, so it drives only without a label.
 */
function chooseDriver(clauses: readonly SearchClause[]): SearchClause | undefined {
  if (clauses.some(({ kind }) => kind === 'id')) return undefined;
  let best: SearchClause | undefined;
  let bestRank = lastRank + 1;
  for (const clause of clauses) {
    const rank = rankOf(clause);
    // Only a single key gives the order of time. Otherwise the label drives, so that only what the caller may see is read.
    if (rank >= bestRank || exactKeys(clause)?.length !== 1) continue;
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

function hasPrefix(clause: SearchClause): clause is Extract<SearchClause, { kind: 'reference' }> {
  return clause.kind === 'reference' && clause.any.some((value) => value.kind === 'literal' && value.isPrefix === true);
}

/** Whether the clause reads columns of `audit` that the rows of labels repeat. */
function readsCodes(kind: SearchClause['kind']): boolean {
  return kind === 'token' || kind === 'missing';
}

/** Returns the keys that the clause names, or undefined if it is not a list of exact keys. */
function exactKeys(clause: SearchClause): readonly string[] | undefined {
  if (clause.kind === 'label') return clause.groups === undefined ? [...new Set(clause.any.map(labelKey))] : undefined;
  if (clause.kind !== 'reference') return undefined;
  if (roleOf(clause.param) === undefined) return [];
  const keys = new Set<string>();
  for (const value of clause.any) {
    if (value.kind === 'identifier') continue;
    if (value.isPrefix === true || value.type === undefined) return undefined;
    keys.add(referenceKey(value.type, value.id));
  }
  return [...keys];
}

/** Compiles one clause. `codes` is the alias of the row that has the codes of the event. */
function condition(clause: SearchClause, codes: 'a' | 'd'): CompiledSql {
  switch (clause.kind) {
    case 'label': {
      const any = clause.any.length === 0 ? [] : [someKey(clause.any.map(labelKey))];
      const groups = (clause.groups ?? []).map((group) => allOf(group.map((label) => someKey([labelKey(label)]))));
      return anyOf([...any, ...groups], (compiled) => compiled);
    }
    case 'reference': {
      const keys = exactKeys(clause);
      if (keys === undefined) return anyTypeCondition(clause.param, clause.any);
      return keys.length === 0 ? nothing : someKey(keys, hasRole('k', clause.param));
    }
    case 'id':
      if (clause.any.length === 0) return nothing;
      return { sql: `a.id IN (${clause.any.map(() => '?').join(', ')})`, params: clause.any };
    case 'date':
      return clause.param === 'date' ? instants(clause.any) : nothing;
    case 'last-updated':
      return instants(clause.any);
    case 'token':
      return tokenCondition(clause.param, clause.negated, clause.any, codes);
    case 'missing':
      return missingCondition(clause.param, clause.missing, codes);
    default:
      return nothing;
  }
}

function allOf(conditions: readonly CompiledSql[]): CompiledSql {
  return {
    sql: `(${conditions.map(({ sql }) => sql).join(' AND ')})`,
    params: conditions.flatMap(({ params }) => params),
  };
}

/** The event also has one of these keys. */
function someKey(keys: readonly string[], role: CompiledSql = { sql: '1', params: [] }): CompiledSql {
  return {
    sql: `EXISTS (SELECT 1 FROM audit_key k WHERE k.key IN (${keys.map(() => '?').join(', ')})
      AND k.recordedMs = d.recordedMs AND k.seq = d.seq AND ${role.sql})`,
    params: [...keys, ...role.params],
  };
}

function hasRole(row: 'd' | 'k', param: string): CompiledSql {
  return { sql: `(${row}.roles & ?) <> 0`, params: [roleOf(param) ?? 0] };
}

function instants(any: Extract<SearchClause, { kind: 'date' }>['any']): CompiledSql {
  const { sql, params } = anyOf(any, instantCondition('d.recordedMs'));
  return { sql: `(${sql})`, params };
}

/** The event has a key of a reference of which some name no type, or the beginning of an id. */
function anyTypeCondition(param: string, any: readonly ReferenceValue[]): CompiledSql {
  const keys = anyTypeKeys(param, any);
  return { sql: `d.seq IN (SELECT k.seq ${keys.sql})`, params: keys.params };
}

/** Compiles references of which some name no type: all keys of such an id are one range. */
function anyTypeKeys(param: string, any: readonly ReferenceValue[]): CompiledSql {
  const role = hasRole('k', param);
  const { sql, params } = anyOf(any, (value): CompiledSql => {
    if (value.kind === 'identifier') return nothing;
    if (value.isPrefix === true) return prefixCondition(value.type ?? '', value.id);
    if (value.type !== undefined) return { sql: 'k.key = ?', params: [referenceKey(value.type, value.id)] };
    // '0' is the character after '/', which separates id and type.
    return { sql: 'k.key >= ? AND k.key < ?', params: [referenceKey('', value.id), `r:${value.id}0`] };
  });
  return { sql: `FROM audit_key k WHERE (${sql}) AND ${role.sql}`, params: [...params, ...role.params] };
}

/** All keys whose ids start with the text are one range, of any type. */
function prefixCondition(type: string, id: string): CompiledSql {
  const from = referenceKey('', id).slice(0, -1);
  const end = afterAllThatStartWith(from);
  return {
    sql: `k.key >= ? AND k.key < ? AND k.key LIKE '%/' || ?`,
    params: [from, end ?? 's', type],
  };
}

function tokenCondition(param: string, negated: boolean, any: readonly TokenValue[], codes: 'a' | 'd'): CompiledSql {
  if (!isAuditTokenParam(param)) return negated ? { sql: '1', params: [] } : nothing;
  const { sql, params } = anyOf(any, ({ system, code }): CompiledSql => {
    const types = auditTypesOf(param, system);
    if (types?.length === 0) return nothing;
    const found = code === undefined ? `${codes}.${param} <> ''` : `${codes}.${param} = ?`;
    const ofType = types === undefined ? '' : ` AND ${codes}.type IN (${types.map(() => '?').join(', ')})`;
    return { sql: `(${found}${ofType})`, params: [...(code === undefined ? [] : [code]), ...(types ?? [])] };
  });
  return { sql: negated ? `NOT (${sql})` : `(${sql})`, params };
}

function missingCondition(param: string, missing: boolean, codes: 'a' | 'd'): CompiledSql {
  const role = roleOf(param);
  if (role !== undefined) return { sql: `(${codes}.present & ${role}) ${missing ? '=' : '<>'} 0`, params: [] };
  if (isAuditTokenParam(param)) return { sql: `${codes}.${param} ${missing ? '=' : '<>'} ''`, params: [] };
  const known = param === 'date' || param === '_lastUpdated' || param === '_id';
  return { sql: known !== missing ? '1' : '0', params: [] };
}

function roleOf(param: string): number | undefined {
  return Object.hasOwn(auditRoles, param) ? auditRoles[param as keyof typeof auditRoles] : undefined;
}

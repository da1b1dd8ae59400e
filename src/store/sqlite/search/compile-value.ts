/** Compiles a clause to a condition on a row of index_value (columns kind, v1, v2). https://hl7.org/fhir/R4/search.html */
import type { DateValue, ReferenceValue, SearchClause, TokenValue } from '../../../fhir/search/ast.ts';
import { asFolder } from '../../../fhir/search/matches.ts';
import { afterAllThatStartWith } from '../../text-range.ts';
import type { CompiledSql } from '../connection/compiled-sql.ts';
import { indexKind, labelParam } from '../connection/schema.ts';

/** Clauses on values in index_value. */
export type ValueClause = Exclude<SearchClause, { kind: 'missing' | 'id' | 'last-updated' }>;

export const nothing: CompiledSql = { sql: '0', params: [] };

/** Returns `param = ? AND kind = ? AND ...` over the alias `x`. A clause without values matches nothing. */
export function compileValues(clause: ValueClause): CompiledSql {
  switch (clause.kind) {
    case 'token':
      return ofKind(clause.param, indexKind.token, anyOf(clause.any, tokenCondition));
    case 'date':
      return ofKind(clause.param, indexKind.date, anyOf(clause.any, dateCondition));
    case 'uri':
      return ofKind(
        clause.param,
        indexKind.uri,
        anyOf(clause.any, clause.match === 'exact' ? firstEquals : belowCondition),
      );
    case 'label':
      return ofKind(labelParam, indexKind.label, anyOf(clause.any, firstEquals));
    case 'string': {
      const condition = { starts: startsCondition, contains: containsCondition, exact: secondEquals }[clause.match];
      return ofKind(clause.param, indexKind.string, anyOf(clause.any, condition));
    }
    case 'reference': {
      const list = sameTypeList(clause.any);
      if (list !== undefined) {
        const { sql, params } = oneOf('x.v1', list.ids);
        const kind = indexKind.reference;
        return {
          sql: `x.param = ? AND x.kind = ${kind} AND ${sql} AND x.v2 = ?`,
          params: [clause.param, ...params, list.type],
        };
      }
      const { sql, params } = anyOf(clause.any, referenceCondition);
      return { sql: `x.param = ? AND ${sql}`, params: [clause.param, ...params] };
    }
  }
}

/** Maximum number of values in the statement. More are passed as one JSON list, so that few distinct statements exist. */
const maxInText = 16;

/** Returns the condition that the column equals one of the values, or `0` if there are none. */
export function oneOf(column: string, values: readonly string[]): CompiledSql {
  if (values.length === 0) return nothing;
  if (values.length > maxInText) {
    return { sql: `${column} IN (SELECT value FROM json_each(?))`, params: [JSON.stringify(values)] };
  }
  return { sql: `${column} IN (${values.map(() => '?').join(', ')})`, params: values };
}

/** Returns the ids if all values are literal references to one type, as resolved chains are, and there are several. */
function sameTypeList(
  any: readonly ReferenceValue[],
): { readonly type: string; readonly ids: readonly string[] } | undefined {
  const [first, second] = any;
  if (second === undefined || first?.kind !== 'literal' || first.type === undefined) return undefined;
  const { type } = first;
  const ids = any.flatMap((value) => (value.kind === 'literal' && value.type === type ? [value.id] : []));
  return ids.length === any.length ? { type, ids } : undefined;
}

/** Returns `(a OR b ...)`, or `0` if there are no values. */
export function anyOf<T>(values: readonly T[], condition: (value: T) => CompiledSql): CompiledSql {
  const [first] = values;
  if (first === undefined) return nothing;
  if (values.length === 1) return condition(first);
  const conditions = values.map(condition);
  return {
    sql: `(${conditions.map(({ sql }) => `(${sql})`).join(' OR ')})`,
    params: conditions.flatMap(({ params }) => params),
  };
}

/** Compares date values with the instant in `column`, which is an interval of one millisecond. */
export function instantCondition(column: string): (value: DateValue) => CompiledSql {
  return ({ prefix, startMs, endMs }) => {
    switch (prefix) {
      case 'eq':
        return { sql: `${column} >= ? AND ${column} < ?`, params: [startMs, endMs] };
      case 'ne':
        return { sql: `(${column} < ? OR ${column} >= ?)`, params: [startMs, endMs] };
      case 'ge':
        return { sql: `${column} >= ?`, params: [startMs] };
      case 'gt':
      case 'sa':
        return { sql: `${column} >= ?`, params: [endMs] };
      case 'lt':
      case 'eb':
        return { sql: `${column} < ?`, params: [startMs] };
      case 'le':
        return { sql: `${column} < ?`, params: [endMs] };
      case 'ap':
        return { sql: `${column} >= ? AND ${column} < ?`, params: [startMs, endMs] };
    }
  };
}

function ofKind(param: string, kind: number, { sql, params }: CompiledSql): CompiledSql {
  return { sql: `x.param = ? AND x.kind = ${kind} AND ${sql}`, params: [param, ...params] };
}

function firstEquals(value: string): CompiledSql {
  return { sql: 'x.v1 = ?', params: [value] };
}

function secondEquals(value: string): CompiledSql {
  return { sql: 'x.v2 = ?', params: [value] };
}

function tokenCondition({ system, code }: TokenValue): CompiledSql {
  const params: string[] = [];
  let sql = '';
  if (code !== undefined) {
    sql = 'x.v1 = ?';
    params.push(code);
  }
  if (system !== undefined) {
    sql = sql === '' ? 'x.v2 = ?' : `${sql} AND x.v2 = ?`;
    params.push(system ?? '');
  }
  return sql === '' ? { sql: '1', params } : { sql, params };
}

function referenceCondition(value: ReferenceValue): CompiledSql {
  if (value.kind === 'identifier') {
    const { sql, params } = tokenCondition({
      code: value.value,
      ...(value.system === undefined ? {} : { system: value.system }),
    });
    return { sql: `x.kind = ${indexKind['reference-identifier']} AND ${sql}`, params };
  }
  const literal = `x.kind = ${indexKind.reference} AND x.v1 = ?`;
  if (value.type === undefined) return { sql: literal, params: [value.id] };
  return { sql: `${literal} AND x.v2 = ?`, params: [value.id, value.type] };
}

function dateCondition({ prefix, startMs, endMs }: DateValue): CompiledSql {
  switch (prefix) {
    case 'eq':
      return { sql: 'x.v1 >= ? AND x.v2 <= ?', params: [startMs, endMs] };
    case 'ne':
      return { sql: '(x.v1 < ? OR x.v2 > ?)', params: [startMs, endMs] };
    case 'ge':
      return { sql: 'x.v2 > ?', params: [startMs] };
    case 'gt':
      return { sql: 'x.v2 > ?', params: [endMs] };
    case 'lt':
      return { sql: 'x.v1 < ?', params: [startMs] };
    case 'le':
      return { sql: 'x.v1 < ?', params: [endMs] };
    case 'sa':
      return { sql: 'x.v1 >= ?', params: [endMs] };
    case 'eb':
      return { sql: 'x.v2 <= ?', params: [startMs] };
    case 'ap':
      return { sql: 'x.v1 < ? AND x.v2 > ?', params: [endMs, startMs] };
  }
}

function belowCondition(uri: string): CompiledSql {
  const { sql, params } = startsCondition(asFolder(uri));
  return { sql: `(x.v1 = ? OR (${sql}))`, params: [uri, ...params] };
}

function containsCondition(value: string): CompiledSql {
  return { sql: 'instr(x.v1, ?) > 0', params: [value] };
}

function startsCondition(value: string): CompiledSql {
  const end = afterAllThatStartWith(value);
  if (end === undefined) return { sql: 'x.v1 >= ?', params: [value] };
  return { sql: 'x.v1 >= ? AND x.v1 < ?', params: [value, end] };
}

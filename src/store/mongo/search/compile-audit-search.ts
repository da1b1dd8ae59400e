/** Compiles a search plan over AuditEvents. The only order is by time, with `seq` as tie-breaker. */
import type { Document } from 'mongodb';
import type { ReferenceValue, SearchClause, SearchPlan, TokenValue } from '../../../fhir/search/ast.ts';
import { auditTypesOf, isAuditTokenParam } from '../../audit-write.ts';
import { auditReferenceKey } from '../encoding/encode-unit.ts';
import { literalPattern, startingWith } from '../encoding/key-text.ts';
import { anyOf, instantCondition, nothing } from './compile-value.ts';

export interface CompiledAuditSearch {
  /** Filter of all matches, on all pages. */
  readonly filter: Document;
  readonly page: Document;
  readonly sort: { readonly recordedMs: 1 | -1; readonly seq: 1 | -1 };
}

const referenceFields: Readonly<Record<string, 'patients' | 'agents' | 'entities'>> = {
  patient: 'patients',
  agent: 'agents',
  entity: 'entities',
};

export function compileAuditSearch(plan: SearchPlan): CompiledAuditSearch {
  if (plan.sort.some(({ param }) => param !== 'date' && param !== '_lastUpdated')) {
    throw new TypeError('AuditEvents sort by `date` or `_lastUpdated` only.');
  }
  const descending = plan.sort[0]?.descending ?? true;
  const conditions = plan.clauses.map(compileClause);
  const filter = conditions.length === 0 ? {} : { $and: conditions };
  const direction = descending ? -1 : 1;
  return { filter, page: afterPosition(filter, plan, descending), sort: { recordedMs: direction, seq: direction } };
}

function afterPosition(filter: Document, { after }: SearchPlan, descending: boolean): Document {
  if (after === undefined) return filter;
  const [recordedMs = null, seq = null] = after;
  const beyond = descending ? '$lt' : '$gt';
  const keyset = {
    $or: [{ recordedMs: { [beyond]: recordedMs } }, { recordedMs: { $eq: recordedMs }, seq: { [beyond]: seq } }],
  };
  return { $and: [keyset, filter] };
}

function compileClause(clause: SearchClause): Document {
  switch (clause.kind) {
    case 'label':
      if (clause.groups === undefined) return { labels: { $in: [...clause.any] } };
      return anyOf([
        { labels: { $in: [...clause.any] } },
        ...clause.groups.map((group) => ({ labels: { $all: [...group] } })),
      ]);
    case 'reference':
      return compileReferences(clause.param, clause.any);
    case 'id':
      return { _id: { $in: [...clause.any] } };
    case 'date':
      return clause.param === 'date'
        ? anyOf(clause.any.map((value) => instantCondition('recordedMs', value)))
        : nothing;
    case 'last-updated':
      return anyOf(clause.any.map((value) => instantCondition('recordedMs', value)));
    case 'token':
      return compileTokens(clause.param, clause.negated, clause.any);
    case 'missing':
      return compileMissing(clause.param, clause.missing);
    default:
      return nothing;
  }
}

function compileReferences(param: string, any: readonly ReferenceValue[]): Document {
  const field = referenceFields[param];
  if (field === undefined) return nothing;
  const exact: string[] = [];
  const ranges: Document[] = [];
  for (const value of any) {
    if (value.kind === 'identifier') continue;
    if (value.isPrefix === true) ranges.push({ [field]: { $elemMatch: anyIdFrom(value.id, value.type ?? '') } });
    else if (value.type !== undefined) exact.push(auditReferenceKey(value.type, value.id));
    else ranges.push({ [field]: { $elemMatch: startingWith(auditReferenceKey('', value.id)) } });
  }
  return anyOf([...(exact.length === 0 ? [] : [{ [field]: { $in: exact } }]), ...ranges]);
}

/** All keys whose ids start with the text are one range, of any type. */
function anyIdFrom(id: string, type: string): Document {
  return { ...startingWith(id), $regex: `${literalPattern(auditReferenceKey(type, ''))}$` };
}

function compileTokens(param: string, negated: boolean, any: readonly TokenValue[]): Document {
  if (!isAuditTokenParam(param)) return negated ? {} : nothing;
  const found = anyOf(
    any.map(({ system, code }) => {
      const types = auditTypesOf(param, system);
      const ofCode = { [param]: code === undefined ? { $ne: '' } : { $eq: code } };
      return types === undefined ? ofCode : { $and: [ofCode, { type: { $in: [...types] } }] };
    }),
  );
  return negated ? { $nor: [found] } : found;
}

function compileMissing(param: string, missing: boolean): Document {
  const field = referenceFields[param];
  if (field !== undefined) return { [field]: missing ? { $size: 0 } : { $not: { $size: 0 } } };
  if (isAuditTokenParam(param)) return { [param]: { [missing ? '$eq' : '$ne']: '' } };
  const known = param === 'date' || param === '_lastUpdated' || param === '_id';
  return known !== missing ? {} : nothing;
}

import { subscriptionTopics } from '../../cpis/subscription-topic.ts';
import { FhirFault, fault, type Issue, type IssueCode } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import { type PayloadContent, readTopicRequest } from '../../fhir/subscription/backport.ts';
import type { ParseSearch } from './criteria.ts';

/** How a topic-based Subscription is notified. */
export interface TopicChannel {
  /** Canonical URL. */
  readonly url: string;
  readonly content: PayloadContent;
  /** How long after the last notification a heartbeat is sent; undefined: none is sent. */
  readonly heartbeatMs: number | undefined;
  /** How long one attempt may take, if the Subscription says so. */
  readonly timeoutMs: number | undefined;
  /** Maximum events in one notification. */
  readonly maxCount: number;
}

export interface ReadTopic {
  readonly issues: readonly Issue[];
  /** The topic and the filters, all of which must match. */
  readonly clauses: readonly SearchClause[];
  readonly channel: TopicChannel;
}

const defaultMaxCount = 50;
const maxEventsInOne = 100;
const maxFilters = 10;
const shortestHeartbeatS = 5;
const longestS = 7 * 24 * 60 * 60;

function issueAt(path: string, diagnostics: string, code: IssueCode): readonly Issue[] {
  return fault('unprocessable', diagnostics, { code, expression: [`Subscription.${path}`] }).issues;
}

/** Refuses extensions of the Backport IG where the criteria are a search, because they would have no effect. */
export function refuseExtensions(resource: unknown): readonly Issue[] {
  const { channel, _criteria } = resource as { channel?: Record<string, unknown>; _criteria?: unknown };
  const found: readonly [string, unknown][] = [
    ['criteria', _criteria],
    ['channel', channel?.['extension']],
    ['channel.payload', channel?.['_payload']],
    ['channel.type', channel?.['_type']],
  ];
  return found.flatMap(([path, value]) =>
    value === undefined
      ? []
      : issueAt(`${path}.extension`, 'Extensions are supported only if the criteria are a topic.', 'not-supported'),
  );
}

/**
 * Returns the filter as name-value pairs, from `AuditEvent?name=value` or `name=value`; undefined if it is for another
 * type.
 */
function filterPairs(filter: string): [string, string][] | undefined {
  const [, type, query = ''] = /^(?:([A-Za-z]+)\?)?(.*)$/s.exec(filter) ?? [];
  return type === undefined || type === 'AuditEvent' ? [...new URLSearchParams(query)] : undefined;
}

/** Reads a Subscription whose criteria are a topic, and reports everything that this server does not support. */
export function readTopic(resource: unknown, parseSearch: ParseSearch): ReadTopic {
  const { request, issues: malformed } = readTopicRequest(resource);
  const topic = subscriptionTopics.get(request.topic);
  const supported = `The topic is not supported. Supported topics: ${[...subscriptionTopics.keys()].join(', ')}.`;
  const issues = topic === undefined ? [...issueAt('criteria', supported, 'not-supported')] : [...malformed];
  const clauses: SearchClause[] = [...(topic?.clauses ?? [])];
  if (request.filters.length > maxFilters) {
    issues.push(
      ...issueAt('criteria.extension', `A Subscription can have a maximum of ${maxFilters} filters.`, 'too-long'),
    );
  }
  for (const [position, filter] of (topic === undefined ? [] : request.filters.slice(0, maxFilters)).entries()) {
    const path = `criteria.extension[${position}]`;
    const pairs = filterPairs(filter);
    // A chain would select by data outside the event.
    const names = pairs?.map(([name]) => (name.includes('.') ? '' : (name.split(':', 1)[0] ?? ''))) ?? [];
    if (pairs === undefined || pairs.length === 0 || names.some((name) => topic?.filters.has(name) !== true)) {
      const allowed = [...(topic?.filters ?? [])].join(', ');
      issues.push(
        ...issueAt(path, `A filter must be AuditEvent?name=value, with these parameters: ${allowed}.`, 'not-supported'),
      );
      continue;
    }
    try {
      clauses.push(...parseSearch('AuditEvent', pairs).clauses);
    } catch (error) {
      if (!(error instanceof FhirFault)) throw error;
      issues.push(...error.issues.map((each) => ({ ...each, expression: [`Subscription.${path}`] })));
    }
  }
  const { heartbeatPeriodS, timeoutS, maxCount } = request;
  const inRange = (seconds: number | undefined, least: number): boolean =>
    seconds === undefined || seconds === 0 || (seconds >= least && seconds <= longestS);
  if (!inRange(heartbeatPeriodS, shortestHeartbeatS) || !inRange(timeoutS, 1)) {
    const text = `The heartbeat period must be 0 (none) or ${shortestHeartbeatS} to ${longestS} s; the timeout must be 0 (none) or 1 to ${longestS} s.`;
    issues.push(...issueAt('channel.extension', text, 'value'));
  }
  return {
    issues,
    clauses,
    channel: {
      url: request.topic,
      content: request.content,
      heartbeatMs: heartbeatPeriodS === undefined || heartbeatPeriodS === 0 ? undefined : heartbeatPeriodS * 1000,
      timeoutMs: timeoutS === undefined || timeoutS === 0 ? undefined : timeoutS * 1000,
      maxCount: Math.min(maxCount ?? defaultMaxCount, maxEventsInOne),
    },
  };
}

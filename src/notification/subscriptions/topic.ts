import { subscriptionTopics, topicClause } from '../../cpis/subscription-topic.ts';
import { FhirFault, fault, type Issue, type IssueCode } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import { type PayloadContent, readTopicRequest } from '../../fhir/subscription/backport.ts';
import type { ParseSearch } from './criteria.ts';

/** How a topic-based Subscription is notified. */
export interface TopicChannel {
  /** Canonical URL. */
  readonly url: string;
  readonly content: PayloadContent;
  /** Without any other notification for so long, a heartbeat is sent; undefined: none is. */
  readonly heartbeatMs: number | undefined;
  /** The longest that one attempt may take, where the Subscription says. */
  readonly timeoutMs: number | undefined;
  /** Events in one notification at most. */
  readonly maxCount: number;
}

export interface ReadTopic {
  readonly issues: readonly Issue[];
  /** The topic and the filters: all hold. */
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

/** Extensions of the Backport IG mean nothing where the criteria are a search. */
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
      : issueAt(`${path}.extension`, 'Extensions are for a Subscription whose criteria are a topic.', 'not-supported'),
  );
}

/** The filter as name-value pairs: `AuditEvent?name=value` or `name=value`. Undefined: it is on another type. */
function filterPairs(filter: string): [string, string][] | undefined {
  const [, type, query = ''] = /^(?:([A-Za-z]+)\?)?(.*)$/s.exec(filter) ?? [];
  return type === undefined || type === 'AuditEvent' ? [...new URLSearchParams(query)] : undefined;
}

/** Reads a Subscription whose criteria are a topic, and reports everything that this server would not honour. */
export function readTopic(resource: unknown, parseSearch: ParseSearch): ReadTopic {
  const { request, issues: malformed } = readTopicRequest(resource);
  const topic = subscriptionTopics.get(request.topic);
  const served = `This topic is not served. Served are: ${[...subscriptionTopics.keys()].join(', ')}.`;
  const issues = topic === undefined ? [...issueAt('criteria', served, 'not-supported')] : [...malformed];
  const clauses: SearchClause[] = topic === undefined ? [] : [topicClause(topic)];
  if (request.filters.length > maxFilters) {
    issues.push(...issueAt('criteria.extension', `There may be ${maxFilters} filters at most.`, 'too-long'));
  }
  for (const [position, filter] of (topic === undefined ? [] : request.filters.slice(0, maxFilters)).entries()) {
    const path = `criteria.extension[${position}]`;
    const pairs = filterPairs(filter);
    // A chain would select by what is not in the event.
    const names = pairs?.map(([name]) => (name.includes('.') ? '' : (name.split(':', 1)[0] ?? ''))) ?? [];
    if (pairs === undefined || pairs.length === 0 || names.some((name) => topic?.filters.has(name) !== true)) {
      const allowed = [...(topic?.filters ?? [])].join(', ');
      issues.push(
        ...issueAt(path, `The topic is filtered by AuditEvent?name=value with: ${allowed}.`, 'not-supported'),
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
    const text = `A heartbeat period is 0 (none) or ${shortestHeartbeatS} to ${longestS} s, a timeout at most ${longestS} s.`;
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

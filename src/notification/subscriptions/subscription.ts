/**
 * Reads and checks R4 Subscriptions for AuditEvents: rest-hook if the criteria are a search; rest-hook and websocket if
 * they are a topic. https://hl7.org/fhir/R4/subscription.html
 */
import { membersOf, textOf } from '../../fhir/any-json.ts';
import { fault, type Issue, type IssueCode } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import { isTopicCriteria } from '../../fhir/subscription/backport.ts';
import { checkEndpoint, type EndpointPolicy } from '../outbound-http/address-guard.ts';
import { maxHeaders, type ParsedHeader, parseChannelHeader, redactHeader } from './channel-header.ts';
import { type ParseSearch, parseCriteria } from './criteria.ts';
import { readTopic, refuseExtensions, type TopicChannel } from './topic.ts';

export type SubscriptionStatus = 'requested' | 'active' | 'error' | 'off';

/** The channel of a Subscription, as delivery uses it. */
export interface Channel {
  readonly type: 'rest-hook' | 'websocket';
  /** Empty for websocket, because the subscriber connects to this server. */
  readonly endpoint: string;
  /** The MIME type of the AuditEvent that is sent; undefined: an empty notification. */
  readonly payload: string | undefined;
  readonly headers: readonly ParsedHeader[];
  /** Present if the criteria are a topic: notifications are Bundles with event numbers. */
  readonly topic?: TopicChannel;
}

export interface SubscriptionRules extends EndpointPolicy {
  readonly parseSearch: ParseSearch;
  readonly nowMs: number;
}

export interface CheckedSubscription {
  /** Empty if the Subscription is accepted. */
  readonly issues: readonly Issue[];
  /** The parsed criteria; empty if they select every AuditEvent of the authority. */
  readonly clauses: readonly SearchClause[];
}

export interface ReadSubscription extends CheckedSubscription {
  readonly channel: Channel;
}

type Json = Readonly<Record<string, unknown>>;
const payloadForm = /^application\/fhir\+json(?:[ \t]*;[ \t]*(?:charset=utf-8|fhirVersion=4\.0(?:\.1)?))*$/i;

function issue(path: string, diagnostics: string, code: IssueCode = 'business-rule'): readonly Issue[] {
  return fault('unprocessable', diagnostics, { code, expression: [`Subscription.${path}`] }).issues;
}

/** Reads criteria and channel of a Subscription and reports what makes it unusable. Ignores its status and end. */
export function readSubscription(resource: unknown, rules: SubscriptionRules): ReadSubscription {
  const { criteria, channel: rawChannel } = membersOf(resource);
  const channel = membersOf(rawChannel);
  const issues: Issue[] = [];

  const asked = isTopicCriteria(criteria) ? readTopic(resource, rules.parseSearch) : undefined;
  const parsed = asked ?? parseCriteria(criteria, rules.parseSearch);
  if (asked === undefined) issues.push(...refuseExtensions(resource));
  if ('issues' in parsed) issues.push(...parsed.issues);

  const isWebsocket = channel['type'] === 'websocket' && asked !== undefined;
  if (channel['type'] !== 'rest-hook' && !isWebsocket) {
    const supported = asked === undefined ? 'rest-hook channels are' : 'rest-hook and websocket channels are';
    issues.push(...issue('channel.type', `Only ${supported} supported for these criteria.`, 'not-supported'));
  }
  const refusal = isWebsocket ? undefined : checkEndpoint(channel['endpoint'], rules);
  if (refusal !== undefined) issues.push(...issue('channel.endpoint', `The endpoint is ${refusal}.`));
  if (isWebsocket && channel['endpoint'] !== undefined) {
    issues.push(
      ...issue(
        'channel.endpoint',
        'A websocket channel has no endpoint, because the subscriber connects to this server.',
      ),
    );
  }

  const payload = textOf(channel['payload']);
  if (asked !== undefined && payload === undefined) {
    issues.push(...issue('channel.payload', 'A topic-based Subscription must have a payload.', 'required'));
  }
  if (channel['payload'] !== undefined && !(payload !== undefined && payloadForm.test(payload))) {
    issues.push(...issue('channel.payload', 'The payload must be application/fhir+json, or absent.', 'not-supported'));
  }

  const headers: ParsedHeader[] = [];
  const rawHeaders: readonly unknown[] = Array.isArray(channel['header']) ? channel['header'] : [];
  if (isWebsocket && rawHeaders.length > 0) {
    issues.push(...issue('channel.header', 'A websocket channel sends no headers.', 'not-supported'));
  }
  if (rawHeaders.length > maxHeaders) {
    issues.push(...issue('channel.header', `A channel can have a maximum of ${maxHeaders} headers.`, 'too-long'));
  }
  for (const [position, rawHeader] of rawHeaders.slice(0, maxHeaders).entries()) {
    const header = parseChannelHeader(rawHeader);
    if (typeof header !== 'string') headers.push(header);
    else issues.push(...issue(`channel.header[${position}]`, `The header ${header}.`, 'value'));
  }

  return {
    issues,
    clauses: 'clauses' in parsed ? parsed.clauses : [],
    channel: {
      type: isWebsocket ? 'websocket' : 'rest-hook',
      endpoint: textOf(channel['endpoint']) ?? '',
      payload,
      headers,
      ...(asked === undefined ? {} : { topic: asked.channel }),
    },
  };
}

/**
 * Checks a Subscription that a client creates or updates, and returns all problems together. A client may only ask for
 * `requested` or `off`; only the server sets `active` and `error`.
 */
export function checkSubscription(resource: unknown, rules: SubscriptionRules): CheckedSubscription {
  const { issues, clauses } = readSubscription(resource, rules);
  const { status, end } = membersOf(resource);
  const refusals = [...issues];
  if (status !== 'requested' && status !== 'off') {
    refusals.push(...issue('status', 'The status must be "requested" or "off". Only the server sets another status.'));
  }
  const endMs = endOf(end);
  if (status === 'requested' && endMs !== undefined && !(endMs > rules.nowMs)) {
    refusals.push(...issue('end', 'The end of a requested Subscription must be in the future.'));
  }
  return { issues: refusals, clauses };
}

/**
 * Returns `Subscription.end` in epoch milliseconds; undefined if there is no end; NaN, which counts as ended, if it
 * cannot be read.
 */
export function endOf(end: unknown): number | undefined {
  return end === undefined ? undefined : Date.parse(textOf(end) ?? '');
}

/** Returns the JSON text of a Subscription as it may be shown, with the values of `channel.header` replaced. */
export function redactSubscription(body: string): string {
  const resource: Json = JSON.parse(body);
  const channel = membersOf(resource['channel']);
  if (!Array.isArray(channel['header'])) return body;
  const header = channel['header'].map((value: unknown) => redactHeader(textOf(value) ?? ''));
  return JSON.stringify({ ...resource, channel: { ...channel, header } });
}

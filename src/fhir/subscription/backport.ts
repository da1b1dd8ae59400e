/**
 * Reads topic-based Subscriptions in R4: the extensions of the Subscriptions R5 Backport IG, STU 1.1.
 * http://hl7.org/fhir/uv/subscriptions-backport
 */
import { itemsOf, membersOf } from '../any-json.ts';
import type { Issue, IssueCode } from '../fault.ts';

const canonicalRoot = 'http://hl7.org/fhir/uv/subscriptions-backport';
const definitionRoot = `${canonicalRoot}/StructureDefinition`;

/** Canonical URLs of the IG. */
export const backport = {
  subscription: `${definitionRoot}/backport-subscription`,
  notification: `${definitionRoot}/backport-subscription-notification-r4`,
  status: `${definitionRoot}/backport-subscription-status-r4`,
  filterCriteria: `${definitionRoot}/backport-filter-criteria`,
  payloadContent: `${definitionRoot}/backport-payload-content`,
  heartbeatPeriod: `${definitionRoot}/backport-heartbeat-period`,
  timeout: `${definitionRoot}/backport-timeout`,
  maxCount: `${definitionRoot}/backport-max-count`,
} as const;

/** http://hl7.org/fhir/uv/subscriptions-backport/CodeSystem/backport-content-code-system */
export const payloadContents = ['empty', 'id-only', 'full-resource'] as const;
export type PayloadContent = (typeof payloadContents)[number];

/** The request of a topic-based Subscription. */
interface TopicRequest {
  /** Canonical URL, without its version. */
  readonly topic: string;
  /** `backport-filter-criteria` in order; all must hold. */
  readonly filters: readonly string[];
  readonly content: PayloadContent;
  readonly heartbeatPeriodS: number | undefined;
  readonly timeoutS: number | undefined;
  readonly maxCount: number | undefined;
}

export interface ReadTopicRequest {
  readonly request: TopicRequest;
  /** Empty if the extensions were understood. */
  readonly issues: readonly Issue[];
}

type Members = ReturnType<typeof membersOf>;
const isContent = (value: unknown): value is PayloadContent => payloadContents.some((content) => content === value);

/** Returns whether the criteria are the canonical URL of a topic. */
export function isTopicCriteria(criteria: unknown): criteria is string {
  return typeof criteria === 'string' && /^(?:https?|urn):/.test(criteria);
}

/** Reads the extensions of a topic-based Subscription. Reports extensions that are unknown, repeated or malformed. */
export function readTopicRequest(resource: unknown): ReadTopicRequest {
  const subscription = membersOf(resource);
  const channel = membersOf(subscription['channel']);
  const issues: Issue[] = [];
  const refuse = (path: string, diagnostics: string, code: IssueCode): void => {
    issues.push({ severity: 'error', code, diagnostics, expression: [`Subscription.${path}`] });
  };
  const extensionsAt = (element: unknown, path: string, known: readonly string[]): Members[] => {
    const { extension } = membersOf(element);
    const found = itemsOf(extension).map(membersOf);
    for (const [position, { url }] of found.entries()) {
      if (known.some((each) => each === url)) continue;
      refuse(`${path}.extension[${position}]`, 'This extension is not supported.', 'not-supported');
    }
    return found;
  };
  const single = (found: readonly Members[], url: string, path: string): Members | undefined => {
    const [first, ...others] = found.filter((each) => each['url'] === url);
    if (others.length > 0) refuse(`${path}.extension`, 'This extension may occur only once.', 'structure');
    return first;
  };
  const integer = (found: readonly Members[], url: string, value: string, min: number): number | undefined => {
    const extension = single(found, url, 'channel');
    if (extension === undefined) return undefined;
    const number = extension[value];
    if (Number.isSafeInteger(number) && Number(number) >= min) return Number(number);
    refuse('channel.extension', `The extension must have a ${value} of at least ${min}.`, 'value');
    return undefined;
  };

  const onCriteria = extensionsAt(subscription['_criteria'], 'criteria', [backport.filterCriteria]);
  const filters = onCriteria.flatMap(({ url, valueString }, position) => {
    if (url !== backport.filterCriteria) return [];
    if (typeof valueString === 'string' && valueString !== '') return [valueString];
    refuse(`criteria.extension[${position}]`, 'The filter must be a valueString.', 'value');
    return [];
  });
  // No other channel type is supported, so no extension is allowed here.
  extensionsAt(channel['_type'], 'channel.type', []);
  const onPayload = extensionsAt(channel['_payload'], 'channel.payload', [backport.payloadContent]);
  const content = single(onPayload, backport.payloadContent, 'channel.payload')?.['valueCode'];
  if (!isContent(content)) {
    const wanted = payloadContents.join(', ');
    refuse('channel.payload', `The extension backport-payload-content must be one of: ${wanted}.`, 'required');
  }
  const known = [backport.heartbeatPeriod, backport.timeout, backport.maxCount];
  const onChannel = extensionsAt(channel, 'channel', known);
  const { criteria } = subscription;
  return {
    issues,
    request: {
      topic: typeof criteria === 'string' ? (criteria.split('|', 1)[0] ?? '') : '',
      filters,
      content: isContent(content) ? content : 'empty',
      heartbeatPeriodS: integer(onChannel, backport.heartbeatPeriod, 'valueUnsignedInt', 0),
      timeoutS: integer(onChannel, backport.timeout, 'valueUnsignedInt', 0),
      maxCount: integer(onChannel, backport.maxCount, 'valuePositiveInt', 1),
    },
  };
}

/** Topics that authorities may subscribe to. */
import type { SearchClause } from '../fhir/search/ast.ts';

export interface SubscriptionTopic {
  /** Canonical URL. */
  readonly url: string;
  readonly title: string;
  readonly description: string;
  /** `AuditEvent.action` of its events. */
  readonly actions: readonly string[];
  /** Search parameters of AuditEvent that a Subscription may filter by. */
  readonly filters: ReadonlySet<string>;
}

const root = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic';
const filters = new Set(['action', 'agent', 'date', 'entity', 'outcome', 'patient', 'subtype', 'type']);

/** Topics by canonical URL. */
export const subscriptionTopics: ReadonlyMap<string, SubscriptionTopic> = new Map(
  [
    {
      url: `${root}/access-to-record`,
      title: 'Access to a record',
      description: 'NHS staff in unscheduled care looked up a child on whom the authority holds a visible plan.',
      actions: ['E', 'R'],
      filters,
    },
    {
      url: `${root}/plan-by-another-authority`,
      title: 'A plan of another authority',
      description:
        'Another authority created, amended, ended or withdrew a plan on a child on whom the authority holds a visible plan.',
      actions: ['C', 'U', 'D'],
      filters,
    },
  ].map((topic) => [topic.url, topic]),
);

/** Returns the clause that selects the AuditEvents of a topic. */
export function topicClause({ actions }: SubscriptionTopic): SearchClause {
  return { kind: 'token', param: 'action', negated: false, any: actions.map((code) => ({ code })) };
}

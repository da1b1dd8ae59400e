/** Topics that authorities may subscribe to. */
import type { SearchClause } from '../fhir/search/ast.ts';
import { numberChangeType } from './number-event-record.ts';
import { planLifeCycleType } from './plan-event-record.ts';

export interface SubscriptionTopic {
  /** Canonical URL. */
  readonly url: string;
  readonly title: string;
  readonly description: string;
  /** Select the AuditEvents of the topic. */
  readonly clauses: readonly SearchClause[];
  /** Search parameters of AuditEvent that a Subscription may filter by. */
  readonly filters: ReadonlySet<string>;
}

const anyOf = (param: string, codes: readonly string[]): SearchClause => ({
  kind: 'token',
  param,
  negated: false,
  any: codes.map((code) => ({ code })),
});
const ofType = (type: string): SearchClause => anyOf('type', [type]);
const ofActions = (...actions: string[]): SearchClause => anyOf('action', actions);

const root = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic';
const filters = new Set(['action', 'agent', 'date', 'entity', 'outcome', 'patient', 'subtype', 'type']);

/** Topics by canonical URL. */
export const subscriptionTopics: ReadonlyMap<string, SubscriptionTopic> = new Map(
  [
    {
      url: `${root}/access-to-record`,
      title: 'Access to a record',
      description: 'NHS staff in unscheduled care looked up a child on whom the authority holds a visible plan.',
      clauses: [ofType('rest'), ofActions('E', 'R')],
      filters,
    },
    {
      url: `${root}/plan-by-another-authority`,
      title: 'A plan of another authority',
      description:
        'Another authority created, amended, ended or withdrew a plan on a child on whom the authority holds a visible plan.',
      clauses: [ofType('rest'), ofActions('C', 'U', 'D')],
      filters,
    },
    {
      url: `${root}/plan-life-cycle`,
      title: 'The life cycle of a plan',
      description:
        'An open plan of the authority ends soon or has ended by its life cycle, lacks a date, or has not been confirmed for long; or a plan passed to a successor.',
      clauses: [ofType(planLifeCycleType.code)],
      filters,
    },
    {
      url: `${root}/nhs-number-changed`,
      title: 'An NHS number has changed',
      description:
        'An NHS number on which the authority holds plans was replaced, or is no longer in use and has no replacement.',
      clauses: [ofType(numberChangeType.code)],
      filters,
    },
  ].map((topic) => [topic.url, topic]),
);

import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import { londonDate } from '../cpis/london-date.ts';
import { buildOrganizationDirectory } from '../interactions/directory/organization-directory.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import type { PlanSurvey } from '../life-cycle/plan-survey.ts';
import { renderBindingToken } from '../notification/channels/binding-token.ts';
import { openEventNumberRegression } from '../notification/events/event-number-regression.ts';
import { protectSubscription, revealSubscription } from '../notification/subscriptions/channel-secrets.ts';
import type { ParseSearch } from '../notification/subscriptions/criteria.ts';
import { checkSubscription, redactSubscription } from '../notification/subscriptions/subscription.ts';
import type { Settings } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { sealKeysOf } from './check-sealed-headers.ts';
import type { FhirModel } from './load-fhir-model.ts';
import type { Delivery } from './open-delivery.ts';
import type { Identity } from './open-identity.ts';
import { websocketUrl } from './websocket-url.ts';

interface PortsOptions {
  readonly settings: Settings;
  readonly baseUrl: string;
  readonly store: Store;
  readonly model: FhirModel;
  readonly identity: Identity;
  readonly delivery: Delivery;
  readonly parseCriteria: ParseSearch;
  readonly clock: Clock;
  readonly survey: Pick<PlanSurvey, 'submitted'>;
  readonly demographics: InteractionPorts['demographics'];
  readonly numberChanged: InteractionPorts['numberChanged'];
  readonly childEvents: InteractionPorts['childEvents'];
  readonly lookUps: InteractionPorts['lookUps'];
  readonly newAuditId: () => string;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
}

const bindingTokenLifetimeMs = 60_000;

/** Builds the ports of the interactions from the parts of the server. */
export function buildInteractionPorts(options: PortsOptions): InteractionPorts {
  const { settings, baseUrl, store, model, identity, delivery, clock, survey, childEvents, newAuditId } = options;
  const { registry, signingKey } = identity;
  const { topics, dispatcher } = delivery;
  return {
    ...model,
    store,
    registry: () => registry.current,
    organizations: buildOrganizationDirectory(() => registry.current, model.extract, clock.now),
    subscriptions: buildSubscriptionRules(options),
    demographics: options.demographics,
    numberChanged: options.numberChanged,
    lookUps: options.lookUps,
    clock: clock.now,
    newId: randomUUID,
    newAuditId,
    baseUrl,
    cursorKeys: () => [signingKey().cursorKey, ...signingKey().older.map(({ cursorKey }) => cursorKey)],
    endedPlanVisibleDays: settings.endedPlanVisibleDays,
    searchDefaultCount: settings.searchDefaultCount,
    searchMaxCount: settings.searchMaxCount,
    maxBundleEntries: settings.maxBundleEntries,
    replayDeliveries: (authorityId) => dispatcher.replay(authorityId),
    planSubmitted: (authorityId, planId) => survey.submitted(authorityId, planId, londonDate(clock.now())),
    childEvents,
    committed(audits) {
      topics.numbers.recorded(audits);
      for (const audit of audits) for (const authority of audit.deliverTo) dispatcher.wake(authority);
    },
  };
}

function buildSubscriptionRules(options: PortsOptions): InteractionPorts['subscriptions'] {
  const { settings, baseUrl, identity, delivery, parseCriteria, clock, metrics, logger } = options;
  const { signingKey } = identity;
  const sealKeys = () => sealKeysOf(signingKey());
  return {
    protect: (resource, stored) => protectSubscription(resource, stored, sealKeys()),
    check: (resource, caller) =>
      checkSubscription(revealSubscription(resource, sealKeys()), {
        parseSearch: parseCriteria,
        allowedOrigins: caller.subscriptionOrigins,
        allowLoopback: settings.allowLoopbackEndpoints,
        nowMs: clock.now(),
      }).issues,
    redact: redactSubscription,
    allNumbered: delivery.topics.numbers.allNumbered,
    reportNumberRegression: openEventNumberRegression({ logger, register: metrics }),
    issueBindingToken({ organisation, clientId, credential = {} }, subscriptionIds) {
      const expiresAtMs = clock.now() + bindingTokenLifetimeMs;
      const owner = organisation.id;
      const binding = { owner, clientId, credential, subscriptionIds, expiresAtMs, nonce: randomUUID() };
      return { token: renderBindingToken(binding, signingKey().bindingKey), expiresAtMs, url: websocketUrl(baseUrl) };
    },
    isNotified: (authorityId) => delivery.subscriptions.usable(authorityId).length > 0,
    changed: (authorityId) => void delivery.subscriptions.changed(authorityId),
  };
}

import type { Caller } from '../../cpis/caller.ts';
import type { ChildEvent } from '../../cpis/demographic-conflict.ts';
import type { LookUp } from '../../cpis/look-up-budgets.ts';
import type { Demographics } from '../../demographics/demographics.ts';
import type { SearchParameterDefinitions } from '../../fhir/definitions/search-parameters.ts';
import type { Issue } from '../../fhir/fault.ts';
import type { ApplyPatch } from '../../fhir/patch/patched.ts';
import type { IndexValue, SearchPlan } from '../../fhir/search/ast.ts';
import type { ShapeResource } from '../../fhir/shape/shape-resource.ts';
import type { Steps } from '../../fhir/steps.ts';
import type { Registry } from '../../registry/registry.ts';
import type { AuditWrite, SearchResult, Store, StoredResource } from '../../store/store.ts';

/** Resources of one type that are kept in memory instead of the store, and concern no patient. */
export interface Directory {
  read(id: string): StoredResource | undefined;
  search(plan: SearchPlan): SearchResult;
}

/** Rules of Subscriptions, which src/server builds from src/notification. */
interface SubscriptionRules {
  /**
   * Protects the values of `channel.header` for storage. `stored` is the version it replaces, whose secrets may be
   * kept.
   */
  protect(resource: unknown, stored: string | undefined): unknown;
  /** Checks status, criteria, endpoint, headers and payload of a protected Subscription, and returns the issues. */
  check(resource: unknown, caller: Caller): readonly Issue[];
  /** Returns the JSON text with the values of `channel.header` redacted. */
  redact(body: string): string;
  /** Resolves once each event that is owed to the authority has its numbers. */
  allNumbered(authorityId: string): Promise<void>;
  /**
   * Reports that a subscriber knows a higher event number than `last`, the last one given, which means that the store
   * has been set back.
   */
  reportNumberRegression(authorityId: string, subscriptionId: string, last: number, known: number): void;
  /** Issues a token to a client of an authority. It binds a WebSocket at `url` once, until it expires. */
  issueBindingToken(
    caller: Caller,
    subscriptionIds: readonly string[],
  ): { readonly token: string; readonly expiresAtMs: number; readonly url: string };
  /** Whether the authority has a Subscription in use. */
  isNotified(authorityId: string): boolean;
  /** Call after a commit that changed Subscriptions of this authority. */
  changed(authorityId: string): void;
}

/** Everything outside that the interactions use. */
export interface InteractionPorts {
  readonly store: Store;
  readonly registry: () => Registry;
  readonly searchDefinitions: SearchParameterDefinitions;
  /** Returns all issues of a resource against this server's profile of its type. */
  readonly validate: (resource: unknown, type: string) => readonly Issue[];
  /** Does the same for a Bundle. */
  readonly validateBundle: (bundle: unknown) => Steps<readonly Issue[]>;
  /** Prepares what the first write or validation needs, which takes long. Does nothing if that is done. */
  readonly prepareValidation: () => Steps<void>;
  /**
   * Returns all issues against the R4 type or a profile on it, by canonical URL; undefined if this server does not hold
   * it.
   */
  readonly validateBy: (resource: unknown, type: string, profile: string) => readonly Issue[] | undefined;
  /** Parses a patch that must not change the `kept` elements. Throws if it is malformed. */
  readonly parsePatch: (document: unknown, kept: readonly string[]) => Steps<ApplyPatch>;
  readonly extract: (resource: unknown) => readonly IndexValue[];
  readonly shape: ShapeResource;
  readonly organizations: Directory;
  /** Directories of this server's conformance resources, by type. */
  readonly definitions: ReadonlyMap<string, Directory>;
  readonly subscriptions: SubscriptionRules;
  readonly demographics: Demographics;
  /** Call when a submission shows that a number has changed, which may be one on which plans are held. */
  readonly numberChanged: (nhsNumber: string) => void;
  /** Budgets of look-ups by NHS staff. */
  readonly lookUps: {
    /** Call before a look-up. Throws `throttled` if the professional has made too many. */
    readonly admit: (caller: Caller) => void;
    /** Call for each look-up that was performed. */
    readonly note: (caller: Caller, lookUp: LookUp) => void;
  };
  /** Returns epoch milliseconds that never go back. */
  readonly clock: () => number;
  /** Returns an unguessable resource id. */
  readonly newId: () => string;
  /** Returns a time-ordered id for an AuditEvent. */
  readonly newAuditId: () => string;
  /** Public URL of the FHIR base, without a slash at the end. */
  readonly baseUrl: string;
  /** Returns the keys of search cursors: the first seals, and all of them open. */
  readonly cursorKeys: () => readonly [Buffer, ...Buffer[]];
  readonly endedPlanVisibleDays: number;
  readonly searchDefaultCount: number;
  readonly searchMaxCount: number;
  readonly maxBundleEntries: number;
  /** Makes all waiting deliveries of an authority due now and resets parked ones. Returns the count. */
  readonly replayDeliveries: (authorityId: string) => Promise<number>;
  /** Call after a commit in which an authority created, amended or confirmed a plan. */
  readonly planSubmitted: (authorityId: string, planId: string) => void;
  /** Call after each commit with the AuditEvents that became durable, and with those handed over. It wakes the dispatcher. */
  readonly committed: (audits: readonly Pick<AuditWrite, 'id' | 'body' | 'deliverTo'>[]) => void;
  /** Call after each commit with the events of the child records in it. It alarms the operator. */
  readonly childEvents: (events: readonly ChildEvent[]) => void;
}

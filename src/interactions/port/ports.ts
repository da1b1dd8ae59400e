import type { Caller } from '../../cpis/caller.ts';
import type { SearchParameterDefinitions } from '../../fhir/definitions/search-parameters.ts';
import type { Issue } from '../../fhir/fault.ts';
import type { ApplyPatch } from '../../fhir/patch/patched.ts';
import type { IndexValue, SearchPlan } from '../../fhir/search/ast.ts';
import type { ShapeResource } from '../../fhir/shape/shape-resource.ts';
import type { Registry } from '../../registry/registry.ts';
import type { AuditWrite, SearchResult, Store, StoredResource } from '../../store/store.ts';

/** Resources of one type that are kept in memory and not in the store; they are about no patient. */
export interface Directory {
  read(id: string): StoredResource | undefined;
  search(plan: SearchPlan): SearchResult;
}

/** What Subscriptions need beyond the rules of any resource; built by compose.ts from src/notification. */
interface SubscriptionRules {
  /** Protects `channel.header` for storage; `stored` is the version it replaces, whose secrets may be kept. */
  protect(resource: unknown, stored: string | undefined): unknown;
  /** Checks status, criteria, endpoint, headers and payload of a protected Subscription; no error: accepted. */
  check(resource: unknown, caller: Caller): readonly Issue[];
  /** The JSON text as it may be shown: the values of `channel.header` redacted. */
  redact(body: string): string;
  /** Resolves when every event that is owed to the authority has its numbers. */
  allNumbered(authorityId: string): Promise<void>;
  /** A subscriber knows a number that is higher than `last`, the last one that was given: the store has been set back. */
  reportNumberRegression(authorityId: string, subscriptionId: string, last: number, known: number): void;
  /** A token that binds a WebSocket at `url` once, until it expires. */
  issueBindingToken(
    authorityId: string,
    clientId: string,
    subscriptionIds: readonly string[],
  ): { readonly token: string; readonly expiresAtMs: number; readonly url: string };
  /** Told after a commit that the Subscriptions of this authority changed. */
  changed(authorityId: string): void;
}

/** Everything that the interactions reach the world through. */
export interface InteractionPorts {
  readonly store: Store;
  readonly registry: () => Registry;
  readonly searchDefinitions: SearchParameterDefinitions;
  /** All issues of a resource against the profile that this server holds for its type. */
  readonly validate: (resource: unknown, type: string) => readonly Issue[];
  /** The same against the R4 type or a profile on it, by canonical URL; undefined: it is not held here. */
  readonly validateBy: (resource: unknown, type: string, profile: string) => readonly Issue[] | undefined;
  /** Reads a patch that leaves the `kept` elements as they are; throws 400 for its shape. */
  readonly parsePatch: (document: unknown, kept: readonly string[]) => ApplyPatch;
  readonly extract: (resource: unknown) => readonly IndexValue[];
  readonly shape: ShapeResource;
  readonly organizations: Directory;
  /** The conformance resources of this server, by type. */
  readonly definitions: ReadonlyMap<string, Directory>;
  readonly subscriptions: SubscriptionRules;
  /** Epoch milliseconds, never going backwards. */
  readonly clock: () => number;
  /** An unguessable resource id. */
  readonly newId: () => string;
  /** A time-ordered id for AuditEvents. */
  readonly newAuditId: () => string;
  /** The public base URL, without a slash at its end. */
  readonly baseUrl: string;
  readonly cursorKey: Buffer;
  readonly endedPlanVisibleMonths: number;
  readonly searchDefaultCount: number;
  readonly searchMaxCount: number;
  readonly maxBundleEntries: number;
  /** Makes all that an authority is owed and that waits, parked ones as if new, due now. How many it were. */
  readonly replayDeliveries: (authorityId: string) => Promise<number>;
  /** Told after each commit, with what became durable: wakes the dispatcher. */
  readonly committed: (audits: readonly AuditWrite[]) => void;
}

import type { ResolveHost } from '../outbound-http/address-guard.ts';
import { type StatusDecision, verifyEndpoint } from './activation.ts';
import type { Entry } from './entry.ts';
import type { Handshake } from './usable-subscription.ts';

export interface ActivationsOptions {
  readonly resolve: ResolveHost;
  readonly allowLoopback: boolean;
  /**
   * Called with the decision about a requested Subscription, and with the version that was verified. Apply it only if
   * the Subscription still has that version. Awaited; a rejection goes to `onError`.
   */
  readonly onVerified: (entry: Entry, decision: StatusDecision) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/**
 * Verifies the endpoints of requested Subscriptions, each as a task of its own, so that an endpoint that does not
 * respond delays nothing else of its authority.
 */
export interface Activations {
  /** Begins to verify the requested entries that are not being verified in this version. Returns at once. */
  begin(entries: readonly Entry[]): void;
  /** Resolves when none of these Subscriptions is being verified. */
  settled(subscriptionIds: readonly string[]): Promise<void>;
  /** Sets how handshakes are sent. Until then topic-based Subscriptions wait. */
  handshakeBy(handshake: Handshake): void;
  /** Begins nothing more and ignores pending results. Resolves when no endpoint is being verified. */
  close(): Promise<void>;
}

/** Maximum versions of one Subscription that are verified in parallel. Only the result of the latest one is used. */
const maxVersions = 3;

interface Verification {
  /** The endpoint has not responded yet. */
  isPending: boolean;
  task: Promise<void>;
}

export function openActivations({ resolve, allowLoopback, onVerified, onError }: ActivationsOptions): Activations {
  /** By Subscription and version, until the decision has been applied. */
  const inFlight = new Map<string, Map<number, Verification>>();
  let handshake: Handshake | undefined;
  let closed = false;

  async function verify(entry: Entry, verification: Verification): Promise<void> {
    const { usable } = entry;
    const shake = async (): Promise<string | undefined> => (closed ? 'closed' : handshake?.(usable));
    const decision = await verifyEndpoint(usable.channel, resolve, allowLoopback, shake);
    verification.isPending = false;
    if (!closed) await onVerified(entry, decision);
  }

  function beginOne(entry: Entry): void {
    const { id, status, channel } = entry.usable;
    const { version } = entry.stored;
    if (closed || status !== 'requested' || (channel.topic !== undefined && handshake === undefined)) return;
    const versions = inFlight.get(id) ?? new Map<number, Verification>();
    // Over the maximum, this one begins when an earlier one has been settled.
    if (versions.has(version) || [...versions.values()].filter(({ isPending }) => isPending).length >= maxVersions)
      return;
    const verification: Verification = { isPending: true, task: Promise.resolve() };
    inFlight.set(id, versions.set(version, verification));
    verification.task = verify(entry, verification)
      .catch(onError)
      .then(() => {
        versions.delete(version);
        if (versions.size === 0 && inFlight.get(id) === versions) inFlight.delete(id);
      });
  }

  const tasksOf = (id: string): Promise<void>[] => [...(inFlight.get(id)?.values() ?? [])].map(({ task }) => task);
  return {
    begin: (entries) => entries.forEach(beginOne),
    settled: async (ids) => {
      for (let tasks = ids.flatMap(tasksOf); tasks.length > 0; tasks = ids.flatMap(tasksOf)) await Promise.all(tasks);
    },
    handshakeBy: (send) => {
      handshake = send;
    },
    close: async () => {
      closed = true;
      await Promise.all([...inFlight.keys()].flatMap(tasksOf));
    },
  };
}

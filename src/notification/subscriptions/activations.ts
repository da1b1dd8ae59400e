import type { ResolveHost } from '../outbound-http/address-guard.ts';
import { type StatusDecision, verifyEndpoint } from './activation.ts';
import type { Entry } from './entry.ts';
import type { Handshake } from './usable-subscription.ts';

export interface ActivationsOptions {
  readonly resolve: ResolveHost;
  readonly allowLoopback: boolean;
  /**
   * What the endpoint of a requested Subscription came to, as it was when it was asked. To be applied only if the
   * Subscription is still of that version. Awaited; what it rejects with goes to `onError`.
   */
  readonly onAsked: (entry: Entry, decision: StatusDecision) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/**
 * Endpoints of requested Subscriptions that are being looked at: addresses resolved, hands shaken. Each is a task of its
 * own, so that nothing else of its authority waits for an endpoint that does not answer.
 */
export interface Activations {
  /** Begins for those of the entries that are requested, and not under way yet in this version. Returns at once. */
  begin(entries: readonly Entry[]): void;
  /** Resolves when none of these Subscriptions is being looked at. */
  settled(subscriptionIds: readonly string[]): Promise<void>;
  /** How handshakes are sent: until it is called, topic-based Subscriptions wait. */
  handshakeBy(handshake: Handshake): void;
  /** Begins nothing more, drops what is asked; resolves when nobody is being asked. */
  close(): Promise<void>;
}

/** Versions of one Subscription whose endpoints are asked side by side: the answers of all but the last are for nothing. */
const maxVersions = 3;

interface Asked {
  /** No answer has come yet. */
  asking: boolean;
  task: Promise<void>;
}

export function openActivations({ resolve, allowLoopback, onAsked, onError }: ActivationsOptions): Activations {
  /** By Subscription and version, until what came of it has been applied. */
  const inFlight = new Map<string, Map<number, Asked>>();
  let handshake: Handshake | undefined;
  let closed = false;

  async function ask(entry: Entry, asked: Asked): Promise<void> {
    const { usable } = entry;
    const shake = async (): Promise<string | undefined> => (closed ? 'closed' : handshake?.(usable));
    const decision = await verifyEndpoint(usable.channel, resolve, allowLoopback, shake);
    asked.asking = false;
    if (!closed) await onAsked(entry, decision);
  }

  function beginOne(entry: Entry): void {
    const { id, status, channel } = entry.usable;
    const { version } = entry.stored;
    if (closed || status !== 'requested' || (channel.topic !== undefined && handshake === undefined)) return;
    const versions = inFlight.get(id) ?? new Map<number, Asked>();
    // One that has been answered begins the next.
    if (versions.has(version) || [...versions.values()].filter(({ asking }) => asking).length >= maxVersions) return;
    const asked: Asked = { asking: true, task: Promise.resolve() };
    inFlight.set(id, versions.set(version, asked));
    asked.task = ask(entry, asked)
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

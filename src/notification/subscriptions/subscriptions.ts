import { ownerLabel, ownerOf } from '../../cpis/labels.ts';
import type { StoredResource } from '../../store/store.ts';
import type { StatusDecision } from './activation.ts';
import { openActivations } from './activations.ts';
import type { Entry } from './entry.ts';
import { findSubscriptions } from './find-subscriptions.ts';
import { openKeyedQueue } from './keyed-queue.ts';
import { moveEntry, reconcileSubscription, refuseOverLimit } from './reconcile-subscription.ts';
import { openRegistryConflicts } from './registry-conflicts.ts';
import { findOverLimit } from './subscription-limit.ts';
import type { SubscriptionsOptions } from './subscriptions-options.ts';
import type { Subscriptions } from './usable-subscription.ts';

const maxRounds = 5;
/** How long to wait after a change could not be read or written. */
const reloadAfterMs = 1_000;
const longestTimerMs = 24 * 60 * 60_000;

/** Reads all Subscriptions and begins to activate the requested ones. Rejects if the store cannot be read. */
export async function openSubscriptions(options: SubscriptionsOptions): Promise<Subscriptions> {
  const { store, clock, onError } = options;
  const entries = new Map<string, readonly Entry[]>();
  const endTimers = new Map<string, () => void>();
  /** Runs one task at a time for each authority. */
  const work = openKeyedQueue();
  /** The waiting load of each authority. It will read whatever is committed before it starts. */
  const queued = new Map<string, Promise<void>>();
  /** Every authority that has, or had, a Subscription. */
  const owners = new Set<string>();
  const listeners = new Set<(authority: string) => void>();
  /** Number of unread changes by authority. While there is one, no Subscription of the authority is used. */
  const stale = new Map<string, number>();
  const conflicts = openRegistryConflicts(clock, options.onContested ?? (() => undefined));
  const activations = openActivations({ ...options, onVerified: settleActivation });
  let closed = false;

  const heldOf = (authority: string): readonly Entry[] => entries.get(authority) ?? [];
  function notifyListeners(authority: string): void {
    // After a further change its own load notifies them.
    if (!stale.has(authority)) for (const listener of listeners) listener(authority);
  }

  function hold(authority: string, held: readonly Entry[]): void {
    if (held.length === 0) entries.delete(authority);
    else entries.set(authority, held);
    endTimers.get(authority)?.();
    endTimers.delete(authority);
    const endMs = Math.min(...held.map((entry) => entry.endMs ?? Number.POSITIVE_INFINITY));
    if (closed || endMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.min(Math.max(endMs - clock.now(), 0) + 1, longestTimerMs);
    endTimers.set(
      authority,
      clock.after(waitMs, () => void changed(authority)),
    );
  }

  /** Uses the registry as it is now, so that a reload applies from the next notification on. */
  function isAllowed(authority: string, { stored, usable }: Entry): boolean {
    if (ownerOf(stored.labels) !== authority || !options.mayNotify(stored.labels)) return false;
    if (usable.channel.type === 'websocket') return true;
    return options.originsOf(stored.labels).includes(new URL(usable.channel.endpoint).origin);
  }

  /**
   * Takes changed, deleted and disallowed Subscriptions out of use at once, whether or not the rest of the load
   * succeeds.
   */
  function dropOutdated(authority: string, found: readonly StoredResource[]): void {
    const versions = new Map(found.map(({ id, version }) => [id, version]));
    const isCurrent = ({ stored }: Entry): boolean => versions.get(stored.id) === stored.version;
    hold(
      authority,
      heldOf(authority).filter((entry) => isCurrent(entry) && isAllowed(authority, entry)),
    );
  }

  async function load(authority: string): Promise<void> {
    for (let round = 0; round < maxRounds; round += 1) {
      const change = stale.get(authority);
      const found = await findSubscriptions(store, [{ kind: 'label', any: [ownerLabel(authority)] }]);
      dropOutdated(authority, found);
      if (stale.get(authority) === change) stale.delete(authority);
      const overLimit = findOverLimit(found);
      const reconciled = await Promise.all(
        found.map((stored) =>
          overLimit.has(stored) ? refuseOverLimit(stored, options) : reconcileSubscription(stored, options, conflicts),
        ),
      );
      if (reconciled.includes('superseded') && round + 1 < maxRounds) continue;
      hold(
        authority,
        reconciled.filter((entry) => typeof entry === 'object'),
      );
      activations.begin(heldOf(authority));
      return;
    }
  }

  const enqueue = (authority: string, task: () => Promise<void>): Promise<void> =>
    work.run(authority, async () => (closed ? undefined : task())).catch(onError);

  function changed(authority: string): Promise<void> {
    owners.add(authority);
    stale.set(authority, (stale.get(authority) ?? 0) + 1);
    const waiting = queued.get(authority);
    if (waiting !== undefined) return waiting;
    const next = enqueue(authority, async () => {
      queued.delete(authority);
      try {
        await load(authority);
      } catch (error) {
        if (!closed) clock.after(reloadAfterMs, () => void changed(authority));
        throw error;
      }
      notifyListeners(authority);
    }).then(() => activations.settled(heldOf(authority).map(({ usable }) => usable.id)));
    queued.set(authority, next);
    return next;
  }

  /** Writes the decision about an entry, unless it no longer matches `find`. */
  async function moveHeld(
    authority: string,
    find: (entry: Entry) => boolean,
    decision: StatusDecision,
  ): Promise<boolean> {
    const entry = heldOf(authority).find(find);
    if (entry === undefined) return false;
    const moved = await moveEntry(entry, decision, options);
    if (moved === undefined) await load(authority);
    else
      hold(
        authority,
        heldOf(authority).map((held) => (held === entry ? moved : held)),
      );
    return true;
  }

  function settleActivation({ usable: asked, stored }: Entry, decision: StatusDecision): Promise<void> {
    const { owner: authority, id } = asked;
    const isAsked = ({ usable, stored: { version } }: Entry): boolean =>
      usable.id === id && version === stored.version && usable.status === 'requested';
    return enqueue(authority, async () => {
      try {
        if (await moveHeld(authority, isAsked, decision)) notifyListeners(authority);
      } catch (error) {
        if (!closed) clock.after(reloadAfterMs, () => void changed(authority));
        throw error;
      } finally {
        activations.begin(heldOf(authority));
      }
    });
  }

  function move(authority: string, id: string, to: 'active' | 'error', error: string | undefined): void {
    const moves = ({ usable }: Entry): boolean =>
      usable.id === id && usable.status !== to && usable.status !== 'requested';
    if (!heldOf(authority).some(moves)) return;
    void enqueue(authority, async () => {
      await moveHeld(authority, moves, { status: to, error, usable: true });
    });
  }

  for (const { labels } of await findSubscriptions(store, [])) {
    const owner = ownerOf(labels);
    if (owner !== undefined) owners.add(owner);
  }
  await Promise.all([...owners].map(load));
  return {
    usable: (authority) => {
      const held = heldOf(authority);
      if (held.length === 0 || stale.has(authority)) return [];
      const nowMs = clock.now();
      const isUsable = (entry: Entry): boolean =>
        (entry.endMs === undefined || entry.endMs > nowMs) && isAllowed(authority, entry);
      return held.filter(isUsable).map(({ usable }) => usable);
    },
    changed,
    reload: async () => {
      conflicts.forget();
      const inUse = [...entries].flatMap(([authority, held]) => held.map(({ usable: { id } }) => ({ authority, id })));
      await Promise.all([...owners].map(changed));
      return inUse.filter(({ authority, id }) => !heldOf(authority).some(({ usable }) => usable.id === id));
    },
    failing: (authority, id, reason) => move(authority, id, 'error', reason),
    recovered: (authority, id) => move(authority, id, 'active', undefined),
    onChange: (listener) => {
      listeners.add(listener);
    },
    authorities: () => [...owners],
    handshakeBy: (send) => {
      activations.handshakeBy(send);
      for (const held of entries.values()) activations.begin(held);
    },
    close: async () => {
      closed = true;
      for (const cancel of endTimers.values()) cancel();
      endTimers.clear();
      await activations.close();
      await work.idle();
    },
  };
}

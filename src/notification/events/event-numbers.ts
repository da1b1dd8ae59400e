import type { AuditWrite, OwedDelivery, Store } from '../../store/store.ts';
import { openKeyedQueue } from '../subscriptions/keyed-queue.ts';
import type { SelectEvent } from '../subscriptions/select-event.ts';
import type { Subscriptions, UsableSubscription } from '../subscriptions/usable-subscription.ts';

/**
 * Numbers the events of topic-based Subscriptions, whether or not their endpoints respond. Numbers are given when
 * events are recorded. Events that were missed, because the process ended or another server recorded them, are numbered
 * when somebody asks, and at the latest when they are sent.
 */
export interface EventNumbers {
  /** Call after a commit, and after deliveries have passed to another authority. Returns at once. */
  recorded(audits: readonly Pick<AuditWrite, 'id' | 'body' | 'deliverTo'>[]): void;
  /** Resolves when all events owed to the authority have numbers. Rejects if the store fails. */
  allNumbered(authority: string): Promise<void>;
  /** Returns the numbers of these events of one Subscription, in the same order. Rejects if the store fails. */
  numberOf(subscriptionId: string, auditIds: readonly string[]): Promise<readonly number[]>;
  /** Calls `listener` when events of a Subscription have been numbered. */
  onNumbered(listener: (authority: string, subscriptionId: string) => void): void;
  close(): Promise<void>;
}

export interface EventNumbersOptions {
  readonly store: Pick<Store, 'read' | 'subscriptionEvents'> & {
    readonly deliveries: Pick<Store['deliveries'], 'owed'>;
  };
  readonly subscriptions: Pick<Subscriptions, 'usable' | 'onChange'>;
  readonly selectEvent: SelectEvent;
  /** Returns the JSON text of an AuditEvent as this authority may see it. */
  readonly renderEvent: (body: string, authority: string) => string;
  readonly onError: (error: unknown) => void;
}

interface RecordedEvent {
  readonly id: string;
  readonly body: string;
}

const pageSize = 500;
/**
 * How far back owed events are read again, because the clock of another server may be behind, or its commit in
 * progress.
 */
const overlapMs = 120_000;

export function openEventNumbers(options: EventNumbersOptions): EventNumbers {
  const { store, subscriptions, selectEvent, renderEvent, onError } = options;
  const fresh = new Map<string, RecordedEvent[]>();
  /** Runs one task at a time for each authority. */
  const work = openKeyedQueue();
  /** The last owed event that was read, by Subscription of an authority. */
  const positions = new Map<string, Map<string, OwedDelivery>>();
  const listeners = new Set<(authority: string, subscriptionId: string) => void>();
  let closed = false;

  subscriptions.onChange((authority) => positions.delete(authority));

  const topical = (authority: string): readonly UsableSubscription[] =>
    subscriptions
      .usable(authority)
      .filter(({ status, channel }) => status !== 'requested' && channel.topic !== undefined);

  async function append(authority: string, to: UsableSubscription, events: readonly RecordedEvent[]): Promise<void> {
    const selected = events.filter(({ body }) => selectEvent(renderEvent(body, authority))(to.clauses));
    if (selected.length === 0) return;
    await store.subscriptionEvents.append(
      to.id,
      selected.map(({ id }) => id),
    );
    for (const listener of listeners) listener(authority, to.id);
  }

  async function numberFresh(authority: string): Promise<void> {
    const events = fresh.get(authority) ?? [];
    fresh.delete(authority);
    if (events.length > 0) await Promise.all(topical(authority).map((to) => append(authority, to, events)));
  }

  async function read({ auditId }: OwedDelivery): Promise<RecordedEvent[]> {
    const found = await store.read('AuditEvent', auditId);
    return found.kind === 'found' ? [{ id: auditId, body: found.resource.body }] : [];
  }

  async function catchUp(authority: string, to: UsableSubscription): Promise<void> {
    const known = positions.get(authority) ?? new Map<string, OwedDelivery>();
    positions.set(authority, known);
    const last = known.get(to.id);
    let after = last === undefined ? undefined : { auditId: '', recordedMs: last.recordedMs - overlapMs };
    while (!closed) {
      const page = await store.deliveries.owed(authority, pageSize, after);
      const events = await Promise.all(page.map(read));
      await append(authority, to, events.flat());
      after = page.at(-1);
      if (after !== undefined && after.recordedMs >= (known.get(to.id)?.recordedMs ?? 0)) known.set(to.id, after);
      if (page.length < pageSize) return;
    }
  }

  return {
    recorded(audits) {
      for (const audit of audits) {
        for (const authority of audit.deliverTo) {
          if (closed || topical(authority).length === 0) continue;
          const { id, body } = audit;
          const waiting = fresh.get(authority);
          if (waiting !== undefined) {
            waiting.push({ id, body });
            continue;
          }
          fresh.set(authority, [{ id, body }]);
          work.run(authority, () => numberFresh(authority)).catch(onError);
        }
      }
    },
    allNumbered: (authority) =>
      work.run(authority, async () => {
        await numberFresh(authority);
        for (const to of topical(authority)) await catchUp(authority, to);
      }),
    numberOf: (subscriptionId, auditIds) => store.subscriptionEvents.append(subscriptionId, auditIds),
    onNumbered: (listener) => {
      listeners.add(listener);
    },
    async close() {
      closed = true;
      await work.idle();
    },
  };
}

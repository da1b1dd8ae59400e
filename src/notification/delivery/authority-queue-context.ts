import type { DeliveryQueue } from '../../store/store.ts';
import type { SelectEvent } from '../subscriptions/select-event.ts';
import type { Subscriptions } from '../subscriptions/usable-subscription.ts';
import type { EndpointsContext } from './endpoints.ts';
import type { SendSlots } from './send-slots.ts';

/** What all queues share. */
export interface AuthorityQueueContext extends EndpointsContext {
  readonly deliveries: DeliveryQueue;
  readonly subscriptions: Pick<Subscriptions, 'usable' | 'failing' | 'recovered'>;
  readonly selectEvent: SelectEvent;
  /** Returns the JSON text of an AuditEvent as this authority may see it. */
  readonly renderEvent: (body: string, authority: string) => string;
  readonly slots: SendSlots;
  readonly leaseMs: number;
  readonly deadlineMs: number;
  readonly pageSize: number;
  /** Maximum deliveries sent to one authority in a second, on average. */
  readonly perSecond: number;
  readonly onError: (error: unknown) => void;
  /** Called when a delivery has been parked; `reason` is the class of its last failure. */
  readonly onParked: (authority: string, auditId: string, reason: string) => void;
  /** Called when the queue has nothing due but may hold a delivery that becomes due later. Answer with `dueAt`. */
  readonly askDue: () => void;
}

/** What a queue is doing, for metrics and the operator. */
export interface QueueSnapshot {
  readonly authority: string;
  readonly sending: number;
  /** Deliveries that are claimed and wait to be sent. */
  readonly claimed: number;
  /** Claims, attempts, settlements, requeues and rechecks that have not ended. */
  readonly inFlight: number;
  readonly endpointFailures: number;
  /** The class of the last failure while an endpoint fails, such as `tls` or `status-503`. */
  readonly lastFailure: string | undefined;
}

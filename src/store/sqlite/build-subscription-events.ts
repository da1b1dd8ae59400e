/** The numbered events of Subscriptions: numbered by the writer thread, read on the main thread. */
import type { SubscriptionEvents } from '../subscription-events.ts';
import type { Statements } from './connection/statements.ts';
import { readAcknowledged, readEvents, readLastNumber } from './delivery/subscription-events.ts';
import type { GuardedRead } from './read/guard-reads.ts';
import { unexpectedResult } from './writer/submit.ts';
import type { Writer } from './writer/writer.ts';

export function buildSubscriptionEvents(writer: Writer, statements: Statements, read: GuardedRead): SubscriptionEvents {
  return {
    append: async (subscriptionId, auditIds) => {
      const numbers = await writer.submit(['number', subscriptionId, auditIds]);
      if (!Array.isArray(numbers)) throw unexpectedResult();
      return numbers as readonly number[];
    },
    last: (subscriptionId) => read(() => readLastNumber(statements, subscriptionId)),
    range: (subscriptionId, since, until, limit) =>
      read(() => readEvents(statements, subscriptionId, since, until, limit)),
    acknowledge: async (subscriptionId, through) => {
      await writer.submit(['acknowledge', subscriptionId, through]);
    },
    acknowledged: (subscriptionId) => read(() => readAcknowledged(statements, subscriptionId)),
  };
}

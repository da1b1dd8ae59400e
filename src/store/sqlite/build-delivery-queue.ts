/** The delivery queue of the port: changes go through the writer thread, reads run on the main thread. */
import { randomUUID } from 'node:crypto';
import type { ClaimedDelivery, DeliveryQueue } from '../delivery-queue.ts';
import type { Statements } from './connection/statements.ts';
import { readBreaches } from './delivery/delivery-breach.ts';
import { readBacklog, readOwed } from './delivery/read-backlog.ts';
import type { GuardedRead } from './read/guard-reads.ts';
import type { DeferredWork } from './writer/deferred-work.ts';
import { submitFlag, unexpectedResult } from './writer/submit.ts';
import type { Writer } from './writer/writer.ts';

/** `queueing` writes the deliveries of committed AuditEvents; it is flushed before they are read. */
export function buildDeliveryQueue(
  writer: Writer,
  statements: Statements,
  read: GuardedRead,
  queueing: DeferredWork,
): DeliveryQueue {
  return {
    claim: async (authority, limit, nowMs, leaseUntilMs) => {
      const claimed = await writer.submit(['claim', authority, limit, nowMs, leaseUntilMs, randomUUID()]);
      if (!Array.isArray(claimed)) throw unexpectedResult();
      return claimed as readonly ClaimedDelivery[];
    },
    settle: ({ authority, auditId, leaseToken }, settlement) =>
      submitFlag(writer, ['settle', authority, auditId, leaseToken, settlement]),
    extend: ({ authority, auditId, leaseToken }, leaseUntilMs) =>
      submitFlag(writer, ['extend', authority, auditId, leaseToken, leaseUntilMs]),
    backlog: async () => {
      await queueing.flush();
      return read(() => readBacklog(statements));
    },
    owed: async (authority, limit, after) => {
      await queueing.flush();
      return read(() => readOwed(statements, authority, limit, after));
    },
    requeue: async (authority, nowMs, of, limit) => {
      const count = await writer.submit(['requeue', authority, nowMs, of, limit]);
      if (typeof count !== 'number') throw unexpectedResult();
      return count;
    },
    handOver: async (from, to, auditIds, nowMs) => {
      const handed = await writer.submit(['hand-over', from, to, auditIds, nowMs]);
      if (!Array.isArray(handed)) throw unexpectedResult();
      return (handed as readonly number[]).flatMap((position) => auditIds[position] ?? []);
    },
    recordBreach: (breach) => submitFlag(writer, ['breach', breach]),
    breaches: (limit, authority) => read(() => readBreaches(statements, limit, authority)),
  };
}

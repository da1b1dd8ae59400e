/**
 * The hot path: an AuditEvent with its deliveries is one document. AuditEvents that are committed concurrently go to the
 * database in one `insertMany`; an invalid one fails alone.
 */
import { MongoBulkWriteError } from 'mongodb';
import { fault } from '../../../fhir/fault.ts';
import { storeUnavailable } from '../../store-unavailable.ts';
import { asFault, isDatabaseError, mongoFailure, withinLimit } from '../connection/mongo-failure.ts';
import type { AuditDocument, Collections } from '../encoding/documents.ts';

export interface AuditWriter {
  /** Durable when it resolves. Returns false if there is another AuditEvent with this id. Rejects as `Store.commit` does. */
  insert(audit: AuditDocument): Promise<boolean>;
  /** Resolves when nothing is in flight. */
  settled(): Promise<void>;
}

interface Waiting {
  readonly audit: AuditDocument;
  readonly resolve: (inserted: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export interface AuditWriterOptions {
  readonly collections: Pick<Collections, 'audit'>;
  /** How long one query may take. */
  readonly timeLimitMs: number;
  /** How long a group is retried while its outcome is unknown. */
  readonly deadlineMs: number;
  /** Called with the number of AuditEvents of each group. */
  readonly onBatch?: (audits: number) => void;
}

const maxGroup = 512;
const maxGroupsInFlight = 4;
const maxUnanswered = 10_000;
const firstPauseMs = 20;
const maxPauseMs = 500;

export function openAuditWriter(options: AuditWriterOptions): AuditWriter {
  const { collections, timeLimitMs, deadlineMs: maxMs, onBatch } = options;
  let waiting: Waiting[] = [];
  let unanswered = 0;
  let scheduled = false;
  const inFlight = new Set<Promise<void>>();

  const sendGroups = (): void => {
    scheduled = false;
    while (waiting.length > 0 && inFlight.size < maxGroupsInFlight) {
      const group = waiting.slice(0, maxGroup);
      waiting = waiting.slice(maxGroup);
      const sent = sendGroup(group).then(() => {
        inFlight.delete(sent);
        unanswered -= group.length;
        onBatch?.(group.length);
        sendGroups();
      });
      inFlight.add(sent);
    }
  };

  async function sendGroup(group: readonly Waiting[]): Promise<void> {
    try {
      let open = group;
      const deadlineMs = performance.now() + maxMs;
      const leftMs = (): number => Math.max(1, deadlineMs - performance.now());
      for (let tries = 1, pauseMs = firstPauseMs; ; tries++, pauseMs = Math.min(2 * pauseMs, maxPauseMs)) {
        const unknown = await tryGroup(open, tries > 1, leftMs());
        if (unknown.length === 0) return;
        if (performance.now() + pauseMs > deadlineMs) throw storeUnavailable('mongo-outcome-unknown');
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        open = await findUnwritten(unknown, leftMs()).catch((error: unknown) => {
          if (mongoFailure(error) !== 'unknown') throw error;
          return unknown;
        });
        if (open.length === 0) return;
      }
    } catch (error) {
      // The driver rejects a whole group if one AuditEvent is too large.
      if (group.length > 1 && isDatabaseError(error) && mongoFailure(error) === 'rejected')
        await Promise.all(group.map((one) => sendGroup([one])));
      else for (const { reject } of group) reject(asFault(error));
    }
  }

  /** Settles those with a known outcome and returns the others. */
  async function tryGroup(group: readonly Waiting[], isAgain: boolean, limitMs: number): Promise<readonly Waiting[]> {
    try {
      await withinLimit(
        collections.audit.insertMany(
          group.map(({ audit }) => audit),
          { ordered: false },
        ),
        limitMs,
      );
      for (const { resolve } of group) resolve(true);
      return [];
    } catch (error) {
      if (error instanceof MongoBulkWriteError && error.result.getWriteConcernError() === undefined) {
        const failed = [error.writeErrors].flat();
        // Without write errors, the whole command failed.
        if (failed.length > 0) return settleEach(group, failed, isAgain);
      }
      if (mongoFailure(error) !== 'unknown') throw error;
      return group;
    }
  }

  /** Settles those that the majority has, and returns the others. An identical AuditEvent is this one, and a success. */
  async function findUnwritten(group: readonly Waiting[], limitMs: number): Promise<readonly Waiting[]> {
    const ids = group.map(({ audit }) => audit._id);
    const finding = collections.audit
      .find({ _id: { $in: ids } }, { projection: { body: 1 }, maxTimeMS: timeLimitMs })
      .toArray();
    const found = await withinLimit(finding, limitMs);
    const bodies = new Map(found.map(({ _id, body }) => [_id, body]));
    return group.filter(({ audit, resolve }) => {
      if (!bodies.has(audit._id)) return true;
      resolve(bodies.get(audit._id) === audit.body);
      return false;
    });
  }

  return {
    insert(audit) {
      if (unanswered >= maxUnanswered) return Promise.reject(storeUnavailable('store-queue-full'));
      unanswered += 1;
      return new Promise((resolve, reject) => {
        waiting.push({ audit, resolve, reject });
        if (scheduled) return;
        scheduled = true;
        setImmediate(sendGroups);
      });
    },
    async settled() {
      while (scheduled || waiting.length > 0 || inFlight.size > 0) {
        await new Promise((resolve) => setImmediate(resolve));
        await Promise.all(inFlight);
      }
    },
  };
}

/** Settles each member. On a retry a duplicate may come from the try before, and is returned to be looked for on the majority. */
function settleEach(
  group: readonly Waiting[],
  failed: readonly { readonly index: number; readonly code: number }[],
  isAgain: boolean,
): readonly Waiting[] {
  const codes = new Map(failed.map(({ index, code }) => [index, code]));
  return group.filter(({ resolve, reject }, index) => {
    const code = codes.get(index);
    if (code === 11_000 && isAgain) return true;
    if (code === undefined) resolve(true);
    else if (code === 11_000) resolve(false);
    else reject(fault('exception', 'The store could not apply this write.', { detail: `mongo-rejected-${code}` }));
    return false;
  });
}

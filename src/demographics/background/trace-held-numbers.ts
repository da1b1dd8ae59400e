import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../clock/clock.ts';
import { addDays } from '../../cpis/london-date.ts';
import { tracedOn } from '../../cpis/number-labels.ts';
import { childType } from '../../cpis/statement.ts';
import type { KeysetPosition, SearchPlan } from '../../fhir/search/ast.ts';
import type { Store } from '../../store/store.ts';
import type { Demographics } from '../demographics.ts';
import { findHolders, type SettleNumberOptions, settleNumber } from './settle-number.ts';

export interface TraceHeldOptions extends SettleNumberOptions {
  readonly store: Pick<Store, 'search' | 'read' | 'commit' | 'useOnce'>;
  readonly demographics: Pick<Demographics, 'trace'>;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** How long to wait between two numbers, so that submissions get most of the rate. */
  readonly paceMs: number;
  /** Called after each pass over all numbers, with the count of held numbers that could not be traced in time. */
  readonly onPass: (overdue: number) => void;
  readonly onError: (error: unknown) => void;
}

export interface HeldNumbers {
  /** Traces a number now, because a submission found that it has changed. */
  traceSoon(number: string): void;
  /** Resolves when nothing is in flight. */
  stop(): Promise<void>;
}

/** Each held number is traced again after this time, so that a failed day or two still keeps the promise of 30. */
const traceAgainDays = 27;
const promisedDays = 30;
const pageSize = 100;
const passEveryMs = 60 * 60_000;
const retryAfterMs = 5 * 60_000;
const maxSoon = 10_000;
/** Failures in a row after which a pass asks no more. One record that cannot be read must not stop the others. */
const maxFailures = 3;
const children: SearchPlan = { type: childType, clauses: [], sort: [], limit: pageSize, total: false };

/** Starts the trace of held numbers in the background: a pass now, and one each hour. */
export function startTraceHeldNumbers(options: TraceHeldOptions): HeldNumbers {
  const { store, demographics, clock, paceMs, rule, onPass, onError } = options;
  const soon = new Set<string>();
  let stopped = false;
  let cancel = (): void => undefined;

  async function wait(delayMs: number): Promise<void> {
    if (stopped) return;
    await new Promise<void>((resolve) => {
      const cancelTimer = clock.after(delayMs, resolve);
      cancel = () => {
        cancelTimer();
        resolve();
      };
    });
  }

  /** Traces one number. Returns false if the service is unavailable. */
  async function traceOne(number: string): Promise<boolean> {
    const trace = await demographics.trace(number);
    if (trace === undefined || trace.kind === 'unavailable') return false;
    await settleNumber(number, trace, options);
    return true;
  }

  async function traceThoseSoon(): Promise<void> {
    for (const number of soon) {
      soon.delete(number);
      await traceOne(number);
    }
  }

  /** Goes over all numbers. Returns false if the service became unavailable on the way. */
  async function pass(): Promise<boolean> {
    let overdue = 0;
    let failures = 0;
    let after: KeysetPosition | undefined;
    do {
      const page = await store.search(after === undefined ? children : { ...children, after });
      for (const { id, labels } of page.matches) {
        if (stopped) return true;
        await traceThoseSoon();
        const { today } = rule();
        const last = tracedOn(labels) ?? '';
        if (last > addDays(today, -traceAgainDays)) continue;
        const holders = await findHolders(id, options);
        // A store may answer without giving other requests a turn.
        await nextTurn();
        if (holders.length === 0) continue;
        // One server traces a number in an hour.
        const nowMs = clock.now();
        const claim = `trace:${id}:${Math.floor(nowMs / passEveryMs)}`;
        let isTraced = false;
        if (failures < maxFailures && (await store.useOnce(claim, nowMs + 2 * passEveryMs, nowMs))) {
          isTraced = await traceOne(id);
          failures = isTraced ? 0 : failures + 1;
          await wait(paceMs);
        }
        if (!isTraced && last !== '' && last <= addDays(today, -promisedDays)) overdue += 1;
      }
      await nextTurn();
      after = page.next;
    } while (after !== undefined);
    onPass(overdue);
    return failures < maxFailures;
  }

  async function run(): Promise<void> {
    let waitMs = retryAfterMs;
    try {
      if (await pass()) waitMs = passEveryMs;
    } catch (error) {
      if (!stopped) onError(error);
    }
    if (stopped) return;
    cancel = clock.after(waitMs, () => {
      running = run();
    });
  }

  let running = run();
  return {
    traceSoon(number) {
      if (stopped || soon.size >= maxSoon) return;
      soon.add(number);
      running = running.then(traceThoseSoon).catch(onError);
    },
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}

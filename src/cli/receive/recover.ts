import type { BackOffOptions } from '../client/back-off.ts';
import type { ServerSession, SessionResponse } from '../client/server-session.ts';
import type { Inbox, Received, Recorded } from './inbox.ts';
import { type Notification, readNotification } from './read-notification.ts';

interface RecoveryOptions {
  readonly inbox: Inbox;
  readonly session: ServerSession;
  readonly record: (received: Received) => Promise<Recorded>;
  readonly backOff: BackOffOptions;
  readonly now: () => number;
  /** Reports progress as plain text that holds nothing of an event. */
  readonly onNotice: (text: string) => void;
  /** Called when the inbox has new events that did not go through `record`. */
  readonly onStored: () => void;
}

/** Fetches missing events and content. One run at a time; a request during a run starts another run after it. */
export interface Recovery {
  /** Schedules a run after a short delay, because notifications can overtake one another. */
  checkSoon(): void;
  /**
   * Queues a report that the server has given an event number twice. The report is a request for the events after
   * `known`, which tells the server that its event numbers have gone back. Each number is reported once.
   */
  reportRegression(subscription: string, known: number): void;
  close(): Promise<void>;
}

type Gap = ReturnType<Inbox['findGaps']>[number];

/** Maximum event numbers per request, and maximum ranges and contents per run. */
const maxNumbersPerRequest = 100;
const maxRangesPerRun = 20;
const maxContentsPerRun = 100;
const runDelayMs = 2_000;
const retryMs = 60_000;

/**
 * Opens the recovery. See
 * https://build.fhir.org/ig/HL7/fhir-subscription-backport-ig/OperationDefinition-backport-subscription-events.html
 */
export function openRecovery(options: RecoveryOptions): Recovery {
  const { inbox, session, record, backOff, now, onNotice, onStored } = options;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let wanted = false;
  /** Reports to send, and reports already sent. */
  const regressions = new Map<string, number>();
  const reported = new Set<string>();

  async function sendRegression([subscription, known]: readonly [string, number]): Promise<void> {
    const path = `Subscription/${subscription}/$events?eventsSinceNumber=${known + 1}&content=empty`;
    const { status } = await session.request('GET', path, undefined, backOff);
    if (status !== 200) throw new Error(`the server returned status ${status}`);
    regressions.delete(subscription);
    reported.add(`${subscription}/${known}`);
    onNotice(`reported to the server that event number ${known} was used before`);
  }

  async function recoverRange({ subscription, from, to }: Gap): Promise<void> {
    const path = `Subscription/${subscription}/$events?eventsSinceNumber=${from}&eventsUntilNumber=${to}`;
    let response = await session.request('GET', `${path}&content=full-resource`, undefined, backOff);
    // The server refuses full-resource if the Subscription has a smaller payload. The content is then read event by event.
    if (response.status !== 200 && !isGone(response)) response = await session.request('GET', path, undefined, backOff);
    if (isGone(response)) {
      onNotice('event numbers are missing but the Subscription no longer exists; the events cannot be fetched');
      inbox.giveUpNumbers(subscription, from, to);
      return;
    }
    const notification = readResponse(response);
    if (notification.subscription?.id !== subscription)
      throw new Error('the response to $events is for another Subscription');
    const events = notification.events.filter(({ number }) => number !== undefined && number >= from && number <= to);
    await record({ notification: { ...notification, events }, receivedMs: now(), proof: undefined });
    const found = new Set(events.map(({ number }) => number)).size;
    const missed = to - from + 1 - found;
    onNotice(
      `events ${from} to ${to} were missing: ${found} fetched${missed === 0 ? '' : `, ${missed} not on the server`}`,
    );
    if (notification.subscription.newest >= to) inbox.giveUpNumbers(subscription, from, to);
  }

  async function fetchContent(id: string): Promise<void> {
    const response = await session.request('GET', `AuditEvent/${id}`, undefined, backOff);
    if (isGone(response)) {
      onNotice('the server does not return the content of an event; the event is stored without it');
      inbox.giveUpContent(id, now());
      onStored();
      return;
    }
    await record({ notification: readContent(response, id), receivedMs: now(), proof: undefined });
  }

  async function run(): Promise<void> {
    try {
      for (const each of [...regressions]) await sendRegression(each);
      const gaps = inbox.findGaps(maxNumbersPerRequest, maxRangesPerRun);
      for (const gap of gaps) await recoverRange(gap);
      const pending = inbox.findPending(maxContentsPerRun);
      for (const id of pending) await fetchContent(id);
      if (gaps.length > 0 || pending.length > 0) wanted = true;
    } catch (error) {
      if (backOff.signal.aborted) return;
      onNotice(`cannot fetch missing events, will retry: ${describe(error)}`);
      schedule(retryMs);
    }
  }

  function schedule(delayMs: number): void {
    if (backOff.signal.aborted || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      wanted = false;
      running = run().finally(() => {
        running = undefined;
        if (wanted) schedule(runDelayMs);
      });
    }, delayMs);
  }

  return {
    checkSoon() {
      wanted = true;
      if (running === undefined) schedule(runDelayMs);
    },
    reportRegression(subscription, known) {
      if (!reported.has(`${subscription}/${known}`)) regressions.set(subscription, known);
    },
    async close() {
      clearTimeout(timer);
      await running;
    },
  };
}

const isGone = ({ status }: SessionResponse): boolean => status === 404 || status === 410;

function readResponse({ status, body }: SessionResponse): Notification {
  if (status !== 200) throw new Error(`the server returned status ${status}`);
  return readNotification(Buffer.from(JSON.stringify(body)));
}

function readContent(response: SessionResponse, id: string): Notification {
  const notification = readResponse(response);
  if (notification.subscription === undefined && notification.events[0]?.id === id) return notification;
  throw new Error('the response holds another AuditEvent than requested');
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : 'unknown error');

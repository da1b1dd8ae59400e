import type { BackOffOptions } from '../back-off.ts';
import type { Answer, ServerSession } from '../server-session.ts';
import type { Arrived, Inbox, Recorded } from './inbox.ts';
import { readNotification, type Told } from './read-notification.ts';

interface RecoveryOptions {
  readonly inbox: Inbox;
  readonly session: ServerSession;
  readonly record: (arrived: Arrived) => Promise<Recorded>;
  readonly backOff: BackOffOptions;
  readonly now: () => number;
  /** What was found or could not be had, in words without anything of an event. */
  readonly onNotice: (text: string) => void;
  /** The inbox has more to tell, beside what was recorded. */
  readonly onKept: () => void;
}

/** Fetches what is missing. One run at a time; what comes meanwhile is looked at after it. */
export interface Recovery {
  /** Something may be missing: looks after a while, as notifications overtake one another. */
  look(): void;
  /**
   * The server gives numbers anew that were given before: it is asked for what comes behind the last one that is known
   * here, by which it sees, once for each such number, that it has been set back.
   */
  tellBehind(subscription: string, known: number): void;
  close(): Promise<void>;
}

type Gap = ReturnType<Inbox['findGaps']>[number];

/** Event numbers asked for at once, and ranges in one look. */
const rangeSize = 100;
const rangesPerLook = 20;
const pendingPerLook = 100;
const graceMs = 2_000;
const retryMs = 60_000;

/** https://build.fhir.org/ig/HL7/fhir-subscription-backport-ig/OperationDefinition-backport-subscription-events.html */
export function openRecovery(options: RecoveryOptions): Recovery {
  const { inbox, session, record, backOff, now, onNotice, onKept } = options;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let wanted = false;
  /** What the server has to be told of, and what it has been. */
  const behind = new Map<string, number>();
  const toldBehind = new Set<string>();

  async function askBehind([subscription, known]: readonly [string, number]): Promise<void> {
    const path = `Subscription/${subscription}/$events?eventsSinceNumber=${known + 1}&content=empty`;
    const { status } = await session.request('GET', path, undefined, backOff);
    if (status !== 200) throw new Error(`the server answered ${status}`);
    behind.delete(subscription);
    toldBehind.add(`${subscription}/${known}`);
    onNotice(`the server has been told that event number ${known} was given before`);
  }

  async function recoverRange({ subscription, from, to }: Gap): Promise<void> {
    const path = `Subscription/${subscription}/$events?eventsSinceNumber=${from}&eventsUntilNumber=${to}`;
    let answer = await session.request('GET', `${path}&content=full-resource`, undefined, backOff);
    // A Subscription without content is not given it here either: its events are read one by one.
    if (answer.status !== 200 && !isGone(answer)) answer = await session.request('GET', path, undefined, backOff);
    if (isGone(answer)) {
      onNotice('event numbers are missing, and the Subscription is gone: nothing more is known of them');
      inbox.giveUpNumbers(subscription, from, to);
      return;
    }
    const told = readAnswer(answer);
    if (told.subscription?.id !== subscription) throw new Error('$events was answered for another Subscription');
    const events = told.events.filter(({ number }) => number !== undefined && number >= from && number <= to);
    await record({ told: { ...told, events }, receivedMs: now(), proof: undefined });
    const found = new Set(events.map(({ number }) => number)).size;
    const missed = to - from + 1 - found;
    onNotice(
      `events ${from} to ${to} had not arrived: ${found} fetched${missed === 0 ? '' : `, ${missed} the server has not`}`,
    );
    if (told.subscription.newest >= to) inbox.giveUpNumbers(subscription, from, to);
  }

  async function fetchContent(id: string): Promise<void> {
    const answer = await session.request('GET', `AuditEvent/${id}`, undefined, backOff);
    if (isGone(answer)) {
      onNotice('the server does not give the content of an event: it is kept without');
      inbox.giveUpContent(id, now());
      onKept();
      return;
    }
    await record({ told: readContent(answer, id), receivedMs: now(), proof: undefined });
  }

  async function run(): Promise<void> {
    try {
      for (const each of [...behind]) await askBehind(each);
      const gaps = inbox.findGaps(rangeSize, rangesPerLook);
      for (const gap of gaps) await recoverRange(gap);
      const pending = inbox.findPending(pendingPerLook);
      for (const id of pending) await fetchContent(id);
      if (gaps.length > 0 || pending.length > 0) wanted = true;
    } catch (error) {
      if (backOff.signal.aborted) return;
      onNotice(`what is missing could not be fetched, and is asked for again: ${describe(error)}`);
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
        if (wanted) schedule(graceMs);
      });
    }, delayMs);
  }

  return {
    look() {
      wanted = true;
      if (running === undefined) schedule(graceMs);
    },
    tellBehind(subscription, known) {
      if (!toldBehind.has(`${subscription}/${known}`)) behind.set(subscription, known);
    },
    async close() {
      clearTimeout(timer);
      await running;
    },
  };
}

const isGone = ({ status }: Answer): boolean => status === 404 || status === 410;

function readAnswer({ status, body }: Answer): Told {
  if (status !== 200) throw new Error(`the server answered ${status}`);
  return readNotification(Buffer.from(JSON.stringify(body)));
}

function readContent(answer: Answer, id: string): Told {
  const told = readAnswer(answer);
  if (told.subscription === undefined && told.events[0]?.id === id) return told;
  throw new Error('an AuditEvent was answered by another one');
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : 'unknown error');

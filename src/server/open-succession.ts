/** What the server does for authorities whose successors have taken over, and what it tells operators about them. */
import type { Logger } from 'pino';
import type { Clock } from '../clock/clock.ts';
import type { LocalAuthority } from '../cpis/caller.ts';
import { ownerLabel } from '../cpis/labels.ts';
import { londonDate } from '../cpis/london-date.ts';
import { announcedChanges, hasEnded } from '../cpis/succession.ts';
import { passAllDeliveries } from '../interactions/operations/pass-deliveries.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import type { OwedDelivery } from '../store/store.ts';

export interface SuccessionOptions {
  readonly ports: Pick<InteractionPorts, 'store' | 'registry' | 'clock' | 'committed' | 'subscriptions'>;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly onError: (error: unknown) => void;
}

export interface Succession {
  /** Returns the notes of `/health/ready`: what is announced, and which authority has ended and still holds plans. */
  notes(): readonly string[];
  /** Logs what is announced. Call when the registry has been loaded. */
  announce(): void;
  /** Stops, and waits for the pass that runs. */
  stop(): Promise<void>;
}

const everyMs = 60_000;
/** Each so many passes, all owed events are read again, because a hand-over of older ones may have been cut off. */
const wholePassEvery = 10;
/** How far back owed events are read again, because another commit may have been in progress. */
const overlapMs = 120_000;

/**
 * Starts to hand over, each minute, what an authority that has ended is still owed about children whose plans have passed. A
 * look-up that began before a plan passed may be recorded after it, and a process may be killed between the two.
 */
export function startSuccession({ ports, clock, logger, onError }: SuccessionOptions): Succession {
  const positions = new Map<string, OwedDelivery>();
  let holding: readonly LocalAuthority[] = [];
  let passes = 0;
  let stopped = false;
  let cancel = (): void => undefined;
  const today = (): string => londonDate(clock.now());

  async function passFrom({ id }: LocalAuthority): Promise<void> {
    const known = positions.get(id);
    const after = known === undefined ? undefined : { auditId: '', recordedMs: known.recordedMs - overlapMs };
    const { handed, last } = await passAllDeliveries(id, after, ports);
    if (last !== undefined && last.auditId !== '') positions.set(id, last);
    if (handed > 0) logger.info({ event: 'deliveries-handed-over', authority: id, handed }, 'deliveries handed over');
  }

  async function holdsPlans({ id }: LocalAuthority): Promise<boolean> {
    const clauses = [{ kind: 'label', any: [ownerLabel(id)] }] as const;
    const found = await ports.store.search({ type: 'Flag', clauses, sort: [], limit: 1, total: false });
    return found.matches.length > 0;
  }

  async function sweep(): Promise<void> {
    if (passes++ % wholePassEvery === 0) positions.clear();
    try {
      const still: LocalAuthority[] = [];
      for (const authority of ports.registry().authorities.values()) {
        if (stopped || !hasEnded(authority, today())) continue;
        await passFrom(authority);
        if (await holdsPlans(authority)) still.push(authority);
      }
      holding = still;
    } catch (error) {
      if (!stopped) onError(error);
    }
    if (!stopped) cancel = clock.after(everyMs, run);
  }

  let running = Promise.resolve();
  function run(): void {
    running = sweep();
  }
  run();

  function describe({ id, validTo, replacedBy = [] }: LocalAuthority): string {
    const next =
      replacedBy.length === 0 ? 'name its successors in the registry' : `run cpis transfer to ${replacedBy.join(', ')}`;
    return `${id} ended on ${validTo} and still holds plans: ${next}`;
  }

  return {
    notes: () => [
      ...holding.map(describe),
      ...announcedChanges(ports.registry().authorities, today()).map(({ text }) => text),
    ],
    announce() {
      for (const { authority, on, text } of announcedChanges(ports.registry().authorities, today())) {
        logger.info({ event: 'authority-change-announced', authority, on }, text);
      }
    },
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}

/** Runs the hand-over of authorities that have ended, and tells operators about them. */
import type { Logger } from 'pino';
import type { Clock } from '../clock/clock.ts';
import type { LocalAuthority } from '../cpis/caller.ts';
import { londonDate } from '../cpis/london-date.ts';
import { announcedChanges, describeEnded } from '../cpis/succession.ts';
import { buildSuccessionPass, type SuccessionPassOptions } from '../interactions/operations/succession-pass.ts';

export interface SuccessionOptions extends Pick<SuccessionPassOptions, 'ports'> {
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly logger: Pick<Logger, 'info'>;
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

/** Starts a pass over the authorities that have ended, now and each minute. */
export function startSuccession({ ports, clock, logger, onError }: SuccessionOptions): Succession {
  const pass = buildSuccessionPass({
    ports,
    onHandedOver: (authority, handed) =>
      logger.info({ event: 'deliveries-handed-over', authority, handed }, 'deliveries handed over'),
  });
  let holding: readonly LocalAuthority[] = [];
  let stopped = false;
  let cancel = (): void => undefined;
  const announced = () => announcedChanges(ports.registry().authorities, londonDate(clock.now()));

  async function sweep(): Promise<void> {
    try {
      holding = await pass(() => stopped);
    } catch (error) {
      if (!stopped) onError(error);
    }
    if (stopped) return;
    cancel = clock.after(everyMs, () => {
      running = sweep();
    });
  }
  let running = sweep();

  return {
    notes: () => [...holding.map(describeEnded), ...announced().map(({ text }) => text)],
    announce() {
      for (const { authority, on, text } of announced()) {
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

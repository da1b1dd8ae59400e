import type { Logger } from 'pino';
import { londonDate } from '../cpis/london-date.ts';
import { announcedChanges } from '../cpis/succession.ts';
import type { Registry } from '../registry/registry.ts';

/** Logs the authorities whose term begins or ends later, as the registry announces them. */
export function logAnnouncedChanges({ authorities }: Registry, logger: Pick<Logger, 'info'>, nowMs: number): void {
  for (const { authority, on, text } of announcedChanges(authorities, londonDate(nowMs))) {
    logger.info({ event: 'authority-change-announced', authority, on }, text);
  }
}

/** Returns the notes of `/health/ready` about them. */
export function noteAnnouncedChanges({ authorities }: Registry, nowMs: number): readonly string[] {
  return announcedChanges(authorities, londonDate(nowMs)).map(({ text }) => text);
}

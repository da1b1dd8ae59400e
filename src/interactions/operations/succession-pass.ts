import type { LocalAuthority } from '../../cpis/caller.ts';
import { ownerLabel } from '../../cpis/labels.ts';
import { londonDate } from '../../cpis/london-date.ts';
import { hasEnded } from '../../cpis/succession.ts';
import type { OwedDelivery } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { passAllDeliveries } from './pass-deliveries.ts';

export interface SuccessionPassOptions {
  readonly ports: Pick<InteractionPorts, 'store' | 'registry' | 'clock' | 'committed' | 'subscriptions'>;
  /** Called when notifications of an authority that has ended were handed over. */
  readonly onHandedOver: (authorityId: string, handed: number) => void;
}

/** Every tenth pass reads all owed events again, because a hand-over of older ones may have been cut off. */
const wholePassEvery = 10;
/** How far back owed events are read again, because another commit may have been in progress. */
const overlapMs = 120_000;

/**
 * Returns the function that makes one pass over the authorities that have ended: it hands over what they are still owed about
 * children whose plans have passed. A look-up that began before a plan passed may be recorded after it, and a process may be
 * killed between the two. It resolves to the authorities that still hold plans; it rejects if the store fails. `isStopped`
 * ends the pass early. Do not call it while it runs.
 */
export function buildSuccessionPass({
  ports,
  onHandedOver,
}: SuccessionPassOptions): (isStopped: () => boolean) => Promise<readonly LocalAuthority[]> {
  const positions = new Map<string, OwedDelivery>();
  let passes = 0;

  async function passFrom({ id }: LocalAuthority): Promise<void> {
    const known = positions.get(id);
    const after = known === undefined ? undefined : { auditId: '', recordedMs: known.recordedMs - overlapMs };
    const { handed, last } = await passAllDeliveries(id, after, ports);
    if (last !== undefined && last.auditId !== '') positions.set(id, last);
    if (handed > 0) onHandedOver(id, handed);
  }

  async function holdsPlans({ id }: LocalAuthority): Promise<boolean> {
    const clauses = [{ kind: 'label', any: [ownerLabel(id)] }] as const;
    const found = await ports.store.search({ type: 'Flag', clauses, sort: [], limit: 1, total: false });
    return found.matches.length > 0;
  }

  return async (isStopped) => {
    if (passes++ % wholePassEvery === 0) positions.clear();
    const still: LocalAuthority[] = [];
    for (const authority of ports.registry().authorities.values()) {
      if (isStopped() || !hasEnded(authority, londonDate(ports.clock()))) continue;
      await passFrom(authority);
      if (await holdsPlans(authority)) still.push(authority);
    }
    return still;
  };
}

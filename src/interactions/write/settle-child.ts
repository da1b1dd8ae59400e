import type { Store } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { overlayView, storeView } from '../resource/view.ts';
import { guardChild, readChild } from './child-record.ts';
import { contended, maxPlans } from './commit-write.ts';
import { type ReviewPorts, reviewRecord } from './review-children.ts';

export interface SettleChildPorts extends ReviewPorts, Pick<InteractionPorts, 'committed' | 'childEvents'> {
  readonly store: Pick<Store, 'read' | 'search' | 'commit'>;
}

/**
 * Reviews a child record without a submission, because a plan that NHS staff no longer see leaves a conflict of details. The
 * labels and the events are one commit, so that an event is recorded once, whatever fails. Rejects if the store fails, or if
 * others keep changing the record.
 */
export async function settleChild(nhsNumber: string, ports: SettleChildPorts): Promise<void> {
  for (let round = 0; round < maxPlans; round += 1) {
    const view = overlayView(storeView(ports.store));
    const child = await readChild(view, nhsNumber);
    const { labels, audits, alarms } = await reviewRecord(nhsNumber, child.labels, view, ports);
    const guard = guardChild(child, labels);
    if (guard.labels === undefined) return;
    const result = await ports.store.commit({ writes: [], guards: [guard], audits });
    if (result.kind === 'committed') {
      ports.committed(audits);
      ports.childEvents(alarms);
      return;
    }
  }
  throw contended();
}

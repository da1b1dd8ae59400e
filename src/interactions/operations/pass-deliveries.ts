/** What an authority is still owed about children whose plans have passed to its successor is owed to the successor. */
import type { AuditEvent } from 'fhir/r4.js';
import { formersOf, ownerOf, viewerLabel } from '../../cpis/labels.ts';
import { numbersOfChild } from '../../cpis/shared-event.ts';
import type { KeysetPosition, SearchPlan } from '../../fhir/search/ast.ts';
import type { OwedDelivery, StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { searchFlagsOf } from '../resource/view.ts';

type Ports = Pick<InteractionPorts, 'store' | 'clock' | 'committed'> & {
  readonly subscriptions: Pick<InteractionPorts['subscriptions'], 'isNotified'>;
};

const pageSize = 200;

/**
 * Returns the authority that holds what was a plan of `from` on the child with these numbers; undefined while `from` holds
 * one.
 */
async function holderAfter(from: string, numbers: readonly string[], { store }: Ports): Promise<string | undefined> {
  const flags = await searchFlagsOf(store, numbers);
  if (flags.some(({ labels }) => ownerOf(labels) === from)) return undefined;
  const passed = flags.filter(({ labels }) => formersOf(labels).includes(from));
  passed.sort((a, b) => b.lastUpdatedMs - a.lastUpdatedMs);
  return passed[0] === undefined ? undefined : ownerOf(passed[0].labels);
}

async function handOver(from: string, to: string, events: readonly StoredResource[], ports: Ports): Promise<number> {
  const { deliveries } = ports.store;
  const idsOf = (some: readonly StoredResource[]): string[] => some.map(({ id }) => id);
  const [known, others] = [true, false].map((isKnown) =>
    events.filter(({ labels }) => labels.includes(viewerLabel(to)) === isKnown),
  ) as [StoredResource[], StoredResource[]];
  // The successor has its own delivery of these, or caused them. They end once nobody listens for the predecessor.
  if (known.length > 0 && !ports.subscriptions.isNotified(from)) {
    await deliveries.handOver(from, undefined, idsOf(known), ports.clock());
  }
  if (others.length === 0) return 0;
  const handed = new Set(await deliveries.handOver(from, to, idsOf(others), ports.clock()));
  ports.committed(others.filter(({ id }) => handed.has(id)).map(({ id, body }) => ({ id, body, deliverTo: [to] })));
  return handed.size;
}

/**
 * Hands over to the successor what `from` is owed about a child, once all its plans on the child have passed. Repeating it
 * changes nothing. Returns the number of notifications.
 */
export async function passDeliveriesOf(from: string, patientId: string, ports: Ports): Promise<number> {
  const to = await holderAfter(from, [patientId], ports);
  if (to === undefined) return 0;
  let handed = 0;
  let after: KeysetPosition | undefined;
  do {
    const plan: SearchPlan = {
      type: 'AuditEvent',
      clauses: [
        { kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: patientId }] },
        { kind: 'label', any: [viewerLabel(from)] },
      ],
      sort: [],
      limit: pageSize,
      total: false,
      ...(after === undefined ? {} : { after }),
    };
    const page = await ports.store.search(plan);
    const passed: StoredResource[] = [];
    for (const match of page.matches) {
      const numbers = numbersOfChild(JSON.parse(match.body) as AuditEvent);
      if (numbers.length === 1 || (numbers.length > 1 && (await holderAfter(from, numbers, ports)) === to))
        passed.push(match);
    }
    handed += await handOver(from, to, passed, ports);
    after = page.next;
  } while (after !== undefined);
  return handed;
}

/**
 * Does so for every child of whom `from` is owed something, starting after `after`. It finds what was recorded while a plan
 * passed, or before a process was killed. Returns the number of notifications, and where to go on.
 */
export async function passAllDeliveries(
  from: string,
  after: OwedDelivery | undefined,
  ports: Ports,
): Promise<{ readonly handed: number; readonly last: OwedDelivery | undefined }> {
  const seen = new Set<string>();
  let handed = 0;
  let last = after;
  while (true) {
    const page = await ports.store.deliveries.owed(from, pageSize, last);
    for (const { auditId } of page) {
      const found = await ports.store.read('AuditEvent', auditId);
      if (found.kind !== 'found') continue;
      for (const number of numbersOfChild(JSON.parse(found.resource.body) as AuditEvent)) {
        if (seen.has(number)) continue;
        seen.add(number);
        handed += await passDeliveriesOf(from, number, ports);
      }
    }
    last = page.at(-1) ?? last;
    if (page.length < pageSize) return { handed, last };
    await new Promise(setImmediate);
  }
}

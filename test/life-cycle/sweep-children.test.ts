/** The sweep of children whose details differ, on the real stores: a conflict ends once, whatever fails. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { AuditEvent } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { reviewChild } from '../../src/cpis/demographic-conflict.ts';
import { ownerLabel } from '../../src/cpis/labels.ts';
import { addDays } from '../../src/cpis/london-date.ts';
import { childType, statementType } from '../../src/cpis/statement.ts';
import { settleChild } from '../../src/interactions/write/settle-child.ts';
import { startOfDay } from '../../src/life-cycle/daily-sweep.ts';
import { sweepChildren } from '../../src/life-cycle/sweep-children.ts';
import type { ResourceWrite, Store } from '../../src/store/store.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { openTestStore as openMongo } from '../store/mongo/open-test-store.ts';
import { openTestStore as openSqlite } from '../store/sqlite/open-test-store.ts';
import { type FailingStore, failing, fault, isKill } from '../support/failing-store.ts';
import { openMongoServer } from '../support/mongo-server.ts';
import { freshPlan } from '../support/submissions.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

const server = await openMongoServer(t);
const firstDay = '2027-06-10';

interface Conflict {
  readonly nhsNumber: string;
  readonly flags: readonly [string, string];
  readonly owners: readonly [string, string];
}

/** Stores a child on whom two authorities state different birth dates. The plan of the second is shown until tomorrow. */
async function storeConflict(store: Store): Promise<Conflict> {
  const child = freshPlan({ start: '2026-01-10' });
  const { nhsNumber } = child;
  const record = (type: string, id: string, resource: object, more: Partial<ResourceWrite> = {}): ResourceWrite => ({
    ...{ type, id, version: 1, lastUpdatedMs: startOfDay(firstDay), method: 'PUT', body: JSON.stringify(resource) },
    ...{ labels: [], uniqueKeys: [], index: [], ...more },
  });
  const holders = ['2019-03-04', '2018-03-04'].map((birthDate, index) => ({
    ...{ authorityId: randomUUID(), flagId: randomUUID(), birthDate },
    end: index === 0 ? firstDay : addDays(firstDay, -364),
  }));
  const writes = holders.flatMap(({ authorityId, flagId, birthDate, end }) => {
    const flag = { ...buildFlag({ ...child, end }), id: flagId, author: { reference: `Organization/${authorityId}` } };
    const onChild = { kind: 'reference', param: 'patient', type: 'Patient', id: nhsNumber } as const;
    return [
      record('Flag', flagId, flag, { labels: [ownerLabel(authorityId)], index: [onChild] }),
      record(statementType(authorityId), nhsNumber, buildPatient({ ...child, birthDate })),
    ];
  });
  const { labels } = reviewChild([], { stated: holders, today: firstDay, differing: undefined });
  await store.commit({
    writes: [...writes, record(childType, nhsNumber, { resourceType: 'Patient' }, { labels })],
    guards: [],
    audits: [],
  });
  const [stays, leaves] = holders;
  return {
    nhsNumber,
    flags: [stays?.flagId ?? '', leaves?.flagId ?? ''],
    owners: [stays?.authorityId ?? '', leaves?.authorityId ?? ''],
  };
}

/** Sweeps for a day, again after each failure, as the daily sweep does. */
async function sweepDay(store: FailingStore, today: string): Promise<void> {
  const ports = {
    ...{ store, clock: () => startOfDay(today) + 1, newAuditId: randomUUID, endedPlanVisibleDays: 365 },
    ...{ baseUrl: 'https://cpis.example.org/FHIR/R4', committed: () => undefined, childEvents: () => undefined },
  };
  for (let attempt = 0; attempt < 200; attempt += 1) {
    try {
      const settle = (nhsNumber: string) => settleChild(nhsNumber, ports);
      if (await sweepChildren(store, settle, () => false)) return;
    } catch (error) {
      if (!isKill(error)) throw error;
    }
  }
  throw new Error('the sweep did not end');
}

/** The events of the plans of a child, as `code flag owed`. */
async function recorded(store: Store, { flags, owners }: Conflict): Promise<string[]> {
  const events = await store.search({
    type: 'AuditEvent',
    clauses: [{ kind: 'token', param: 'type', negated: false, any: [{ code: 'plan-life-cycle' }] }],
    ...{ sort: [], limit: 10_000, total: false },
  });
  const owed = await Promise.all(owners.map((owner) => store.deliveries.owed(owner, 10_000)));
  return events.matches.flatMap(({ id, body }) => {
    const { entity = [], subtype = [] } = JSON.parse(body) as AuditEvent;
    const flag = flags.findIndex((each) => entity[0]?.what?.reference === `Flag/${each}`);
    const to = owed.flatMap((list, index) => (list.some(({ auditId }) => auditId === id) ? [index] : []));
    return flag < 0 ? [] : [`${subtype[0]?.code} ${flag} ${to.join()}`];
  });
}

const property = (test: Test, one: Store, two: Store, numRuns: number) =>
  fc.assert(
    fc.asyncProperty(
      fc.tuple(fc.array(fault, { maxLength: 12 }), fc.array(fault, { maxLength: 12 })),
      fc.integer({ min: 1, max: 3 }),
      async (faults, count) => {
        const children: Conflict[] = [];
        for (let index = 0; index < count; index += 1) children.push(await storeConflict(one));
        const servers = faults.map((list, index) => failing(index === 0 ? one : two, list));
        const sweep = (day: number) => Promise.all(servers.map((store) => sweepDay(store, addDays(firstDay, day))));
        await sweep(1);
        for (const child of children) test.strictSame(await recorded(one, child), [], 'both plans are shown');
        await sweep(2);
        await sweep(3);
        for (const child of children) {
          test.strictSame(await recorded(one, child), ['details-agree 0 0'], 'the one that is left is notified, once');
          const read = await one.read(childType, child.nhsNumber);
          test.strictSame(read.kind === 'found' && read.resource.labels, []);
        }
      },
    ),
    { numRuns, seed: 13 },
  );

t.test('SQLite: a conflict ends when a plan is no longer shown, once', async (test) => {
  const { store } = await openSqlite(test, { folder: makeTempFolder(test) });
  await property(test, store, store, 30);
});

t.test('MongoDB: the same, with two servers on one database', async (test) => {
  const { store, url } = await openMongo(test, server);
  await property(test, store, (await openMongo(test, server, { url })).store, 10);
});

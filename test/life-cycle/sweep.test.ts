/** Each event once, whatever fails: sweeps on the real stores with refused and lost commits, missed days and two servers. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { AuditEvent, Flag } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { lastDayOf } from '../../src/cpis/life-cycle.ts';
import { addDays } from '../../src/cpis/london-date.ts';
import { dueDateExtension, extractPlan, planKeys } from '../../src/cpis/plan.ts';
import { decideToday, type OpenPlan } from '../../src/cpis/plan-event.ts';
import { markConfirmed, planLabels } from '../../src/cpis/plan-labels.ts';
import { startOfDay } from '../../src/life-cycle/daily-sweep.ts';
import type { SettlePlanOptions } from '../../src/life-cycle/settle-plan.ts';
import { sweepPlans } from '../../src/life-cycle/sweep-plans.ts';
import type { Store, StoredResource } from '../../src/store/store.ts';
import { openTestStore as openMongo } from '../store/mongo/open-test-store.ts';
import { openTestStore as openSqlite } from '../store/sqlite/open-test-store.ts';
import { type FailingStore, failing, fault, isKill } from '../support/failing-store.ts';
import { openMongoServer } from '../support/mongo-server.ts';
import { freshNhsNumber, kindCodes } from '../support/submissions.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

const server = await openMongoServer(t);
const firstDay = '2027-03-20';
/** Two authorities, which no other run has. */
type Owners = readonly [string, string];

interface Child {
  readonly kind: string;
  /** Days from the first day to the last day of the plan. */
  readonly lastDay: number;
  readonly dated: boolean;
  /** Days before the first day. */
  readonly confirmed: number;
  readonly owner: number;
}

const child = fc.record<Child>({
  kind: fc.constantFrom(...Object.values(kindCodes)),
  lastDay: fc.integer({ min: -20, max: 60 }),
  dated: fc.boolean(),
  confirmed: fc.integer({ min: 0, max: 120 }),
  owner: fc.nat({ max: 1 }),
});

/** A stored plan that ends so many days after the first day. */
function planOf(
  { kind, lastDay, dated, confirmed, owner }: Child,
  owners: Owners,
): { readonly flag: Flag; readonly open: OpenPlan } {
  const last = addDays(firstDay, lastDay);
  const isUnborn = kind === kindCodes.UCPP;
  const dueDate = isUnborn && dated ? addDays(last, -28) : undefined;
  const [year = 0, rest = ''] = [Number(addDays(last, 1).slice(0, 4)), addDays(last, 1).slice(4)];
  const id = randomUUID();
  const flag: Flag = {
    resourceType: 'Flag',
    id,
    meta: { versionId: '1', lastUpdated: new Date(startOfDay(firstDay)).toISOString() },
    ...(dueDate === undefined ? {} : { extension: [{ url: dueDateExtension, valueDate: dueDate }] }),
    identifier: [{ system: 'https://la.example.org/plan', value: id }],
    status: 'active',
    code: { coding: [{ system: 'http://snomed.info/sct', code: kind }] },
    subject: { reference: `Patient/${freshNhsNumber()}` },
    period: { start: isUnborn ? addDays(last, -308) : addDays(firstDay, -200) },
    author: { reference: `Organization/${owners[owner]}` },
  };
  const birthDate = `${year - 18}${rest}`;
  const plan = extractPlan(flag);
  const labels = markConfirmed(planLabels(plan, birthDate, []), addDays(firstDay, -confirmed));
  return { flag, open: { plan: { ...plan, lastDay: lastDayOf(plan, birthDate) }, labels, writtenOn: firstDay } };
}

const indexOf = (flag: unknown) => [
  { kind: 'token', param: 'status', system: 'http://hl7.org/fhir/flag-status', code: (flag as Flag).status } as const,
];

async function storePlans(store: Store, plans: readonly ReturnType<typeof planOf>[]): Promise<void> {
  await store.commit({
    writes: plans.map(({ flag, open }) => ({
      ...{ type: 'Flag', id: flag.id ?? '', version: 1, method: 'POST' as const, labels: open.labels },
      lastUpdatedMs: startOfDay(firstDay),
      body: JSON.stringify(flag),
      index: indexOf(flag),
      uniqueKeys: planKeys(flag, open.plan.authorityId),
    })),
    guards: [],
    audits: [],
  });
}

/** The events that must be recorded when sweeps run on these days: `plan code date`, by the pure rule alone. */
function expectedOf(plans: readonly ReturnType<typeof planOf>[], days: readonly string[]): string[] {
  const expected: string[] = [];
  for (const { open: first } of plans) {
    let open: OpenPlan | undefined = first;
    for (const today of days) {
      if (open === undefined) break;
      const { events, labels, end } = decideToday(open, { today, unconfirmedAfterDays: 90 });
      expected.push(...events.map(({ code, date }) => `${first.plan.id} ${code} ${date}`));
      open = end === undefined ? { ...open, labels } : undefined;
    }
  }
  return expected.sort();
}

const ignore = (): void => undefined;

/** Sweeps for a day, again after each failure, as the daily sweep does. */
async function sweepDay(store: FailingStore, today: string): Promise<void> {
  const options: SettlePlanOptions = {
    ...{ store, indexOf, baseUrl: 'https://cpis.example.org/FHIR/R4', newAuditId: randomUUID },
    now: () => startOfDay(today) + 1,
    committed: ignore,
    onEvent: ignore,
  };
  const rule = { today, unconfirmedAfterDays: 90 };
  for (let attempt = 0; attempt < 200; attempt += 1) {
    try {
      const isDone = await sweepPlans(rule, options, ignore, () => false);
      if (isDone) return;
    } catch (error) {
      if (!isKill(error)) throw error;
    }
  }
  throw new Error('the sweep did not end');
}

/** `plan code date` of each event in the store, and that each is owed to the holder, and to nobody else. */
async function recorded(
  test: Test,
  store: Store,
  plans: readonly ReturnType<typeof planOf>[],
  owners: Owners,
): Promise<string[]> {
  const ownerOf = new Map(plans.map(({ open }) => [open.plan.id, open.plan.authorityId]));
  const planIn = (event: AuditEvent) => (event.entity?.[0]?.what?.reference ?? '').slice('Flag/'.length);
  const events = (
    await store.search({
      type: 'AuditEvent',
      clauses: [{ kind: 'token', param: 'type', negated: false, any: [{ code: 'plan-life-cycle' }] }],
      sort: [],
      limit: 10_000,
      total: false,
    })
  ).matches
    .map(({ id, body }) => ({ id, event: JSON.parse(body) as AuditEvent }))
    .filter(({ event }) => ownerOf.has(planIn(event)));
  for (const owner of owners) {
    const owed = (await store.deliveries.owed(owner, 10_000)).map(({ auditId }) => auditId);
    const own = events.filter(({ event }) => ownerOf.get(planIn(event)) === owner).map(({ id }) => id);
    test.strictSame([...owed].sort(), own.sort(), 'a delivery for each event, to the holder');
  }
  return events
    .map(({ event }) => `${planIn(event)} ${event.subtype?.[0]?.code} ${event.entity?.[0]?.detail?.[0]?.valueString}`)
    .sort();
}

async function remove(store: Store, { type, id, version, lastUpdatedMs, labels }: StoredResource): Promise<void> {
  const tombstone = { body: null, method: 'DELETE', index: [], uniqueKeys: [] } as const;
  const write = { type, id, version: version + 1, lastUpdatedMs, labels, ...tombstone };
  await store.commit({ writes: [write], guards: [], audits: [] });
}

const dayList = fc.uniqueArray(fc.nat({ max: 40 }), { minLength: 1, maxLength: 6 });

/** One run: two servers, each with faults of its own, sweep on some days. */
async function run(
  test: Test,
  one: Store,
  two: Store,
  children: readonly Child[],
  onDays: readonly number[],
  faults: readonly [readonly string[], readonly string[]],
): Promise<void> {
  const owners: Owners = [randomUUID(), randomUUID()];
  const plans = children.map((each) => planOf(each, owners));
  await storePlans(one, plans);
  const days = [...onDays].sort((a, b) => a - b).map((day) => addDays(firstDay, day));
  const servers = [failing(one, faults[0]), failing(two, faults[1])];
  for (const today of days) await Promise.all(servers.map((store) => sweepDay(store, today)));
  test.strictSame(await recorded(test, one, plans, owners), expectedOf(plans, days), 'each event once');
  for (const { open } of plans) {
    const read = await one.read('Flag', open.plan.id);
    const { version = 0, body = '{}' } = read.kind === 'found' ? read.resource : {};
    const flag = JSON.parse(body) as Flag;
    const isOver = (open.plan.lastDay ?? '') < (days.at(-1) ?? '');
    test.equal(version, isOver ? 2 : 1, 'a plan ends once');
    test.equal(flag.period?.end, isOver ? open.plan.lastDay : undefined);
    // The next run starts without open plans.
    if (read.kind === 'found' && !isOver) await remove(one, read.resource);
  }
}

const property = (test: Test, one: Store, two: Store, numRuns: number) =>
  fc.assert(
    fc.asyncProperty(
      fc.array(child, { minLength: 1, maxLength: 8 }),
      dayList,
      fc.tuple(fc.array(fault, { maxLength: 12 }), fc.array(fault, { maxLength: 12 })),
      (children, days, faults) => run(test, one, two, children, days, faults),
    ),
    { numRuns, seed: 13 },
  );

t.test('SQLite: refused and lost commits, and missed days', async (test) => {
  const { store } = await openSqlite(test, { folder: makeTempFolder(test) });
  await property(test, store, store, 30);
});

t.test('MongoDB: the same, with two servers on one database', async (test) => {
  const { store, url } = await openMongo(test, server);
  await property(test, store, (await openMongo(test, server, { url })).store, 10);
});

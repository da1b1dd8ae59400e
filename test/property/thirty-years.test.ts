/**
 * Thirty years of a few children, simulated on the real server with its real stores: what NHS staff see on each visited day,
 * which submissions are accepted, and which events are recorded, is what the plain model of the rules says.
 * `THIRTY_YEARS_RUNS=50` runs more of them; `THIRTY_YEARS_SEED=7` replays one.
 */
import fc from 'fast-check';
import type { AuditEvent, Bundle, BundleEntryResponse, Flag, Parameters } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import type { FhirClient, FhirResponse } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { openMongoServer } from '../support/mongo-server.ts';
import { addDays, birthdayAt, londonMoment } from '../support/plan-model/dates.ts';
import { type Kind, type ModelPlan, openPlanModel, type PlanForm } from '../support/plan-model/plan-model.ts';
import { openWorld, type RunningWorld } from '../support/running-server.ts';
import {
  freshNhsNumber,
  freshPlan,
  kindCodes,
  kindOf,
  postBundle,
  referenceSystem,
  statusesOf,
} from '../support/submissions.ts';
import { openTravelClock } from '../support/travel-clock.ts';
import { waitUntil } from '../support/wait-until.ts';

const { THIRTY_YEARS_RUNS: runs = '1', THIRTY_YEARS_SEED: seed = '5' } = process.env;
const firstDay = '2027-02-01';
const kinds: readonly Kind[] = ['CPP', 'LAC', 'UCPP'];
/** A child who is soon 16, one born on a leap day, a mother, and two who are born later. */
const firstBirthDates = ['2011-02-20', '2012-02-29', '2000-07-01', '2029-10-31', '2042-03-01'] as const;

interface Step {
  readonly kind: 'submit' | 'amend' | 'state' | 'delete' | 'revive' | 'guess' | 'resolve';
  readonly authority: number;
  readonly child: number;
  /** The step is about a child who has a plan, if there is one. */
  readonly joins: boolean;
  readonly plan: Kind;
  readonly change: 'end' | 'withdraw' | 'start' | 'due' | 'reopen' | 'same';
  readonly how: 'batch' | 'transaction';
  readonly chosen: number;
  readonly start: number;
  readonly end: number | undefined;
  readonly due: number | undefined;
  /** Days by which the stated birth date differs from the first one; undefined: as stated before. */
  readonly shift: number | undefined;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    'submit',
    'submit',
    'submit',
    'amend',
    'amend',
    'amend',
    'state',
    'delete',
    'revive',
    'guess',
    'resolve',
  ),
  authority: fc.nat({ max: 1 }),
  child: fc.nat({ max: firstBirthDates.length - 1 }),
  joins: fc.boolean(),
  plan: fc.constantFrom(...kinds),
  change: fc.constantFrom('end', 'end', 'withdraw', 'start', 'due', 'reopen', 'same', 'same'),
  how: fc.constantFrom('batch', 'transaction'),
  chosen: fc.nat(),
  start: fc.oneof(fc.integer({ min: -60, max: 32 }), fc.integer({ min: -400, max: 0 })),
  end: fc.option(fc.integer({ min: -30, max: 1 }), { nil: undefined, freq: 3 }),
  due: fc.option(fc.integer({ min: -30, max: 310 }), { nil: undefined, freq: 3 }),
  shift: fc.option(fc.oneof(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -3000, max: 3000 })), {
    nil: undefined,
    freq: 2,
  }),
});

interface Chapter {
  readonly steps: readonly Step[];
  readonly days: number;
  /** Seconds after midnight at which each day is visited: in summer, half past midnight is the day before in UTC. */
  readonly seconds: number;
}

const chapter: fc.Arbitrary<Chapter> = fc.record({
  steps: fc.array(step, { minLength: 4, maxLength: 9 }),
  days: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 500, max: 1500 })),
  seconds: fc.constantFrom(1_800, 45_000, 75_600),
});

const story = fc.array(chapter, { minLength: 20, maxLength: 20 });

const kindNames = new Map(Object.entries(kindCodes).map(([short, code]) => [code as string, short]));
const london = new Intl.DateTimeFormat('en-CA', { timeZone: 'Europe/London' });
const dayOf = (atMs: number): string => london.format(atMs);
const isAccepted = (status: number | string | undefined): boolean => /^2/.test(String(status));

/** One run: the server, the model beside it, and the children. */
async function live(test: Test, chapters: readonly Chapter[], settings: Readonly<Record<string, string>>) {
  const clock = openTravelClock(londonMoment(firstDay, 43_200));
  const world = await openWorld(test, {
    clock,
    settings: { CPIS_METRICS_TOKEN: 'a-metrics-token-of-length', CPIS_LOG_LEVEL: 'error', ...settings },
  });
  const model = openPlanModel(firstDay);
  const numbers = firstBirthDates.map(() => freshNhsNumber());
  const clients = [world.la, world.otherLa];
  const authorityIds = [world.ownId, world.otherId];
  /** Id and ETag of the Flag of each reference. */
  const flags = new Map<string, { id: string; etag: string }>();
  const lookedUp = [0, 0];
  let count = 0;

  const fail = (text: string): never => {
    throw new Error(`${model.today}: ${text}`);
  };
  const note = (reference: string, response: BundleEntryResponse | undefined): void => {
    const id = /Flag\/([^/]+)/.exec(response?.location ?? '')?.[1];
    if (id !== undefined) flags.set(reference, { id, etag: response?.etag ?? '' });
  };

  async function look(child: number): Promise<void> {
    for (const authority of model.holdersOf(child)) lookedUp[authority] = (lookedUp[authority] ?? 0) + 1;
    const { status, body } = await world.epr.request<Bundle>('GET', `Flag?patient=${numbers[child]}`);
    if (status !== 200) fail(`look-up ${status}`);
    const seen = (body.entry ?? []).flatMap(({ resource }) =>
      resource?.resourceType === 'Flag' ? [textOf(resource as Flag)] : [],
    );
    const [right, wrong] = [model.shownOf(child).join('; '), seen.sort().join('; ')];
    if (right !== wrong) fail(`child ${child}: NHS staff see "${wrong}", the model says "${right}"`);
  }

  function textOf({ author, code, status, period }: Flag): string {
    const authority = authorityIds.indexOf(author?.reference?.slice('Organization/'.length) ?? '');
    const kind = kindNames.get(code.coding?.[0]?.code ?? '');
    return `${authority} ${kind} ${status} ${period?.start} ${period?.end ?? 'open'}`;
  }

  async function visit(day: string, seconds: number, children: readonly number[]): Promise<void> {
    clock.travelTo(londonMoment(day, seconds));
    if (day !== model.today) {
      model.begin(day);
      await waitUntil('the sweep', async () => (await sweptOn(world)) >= day);
    }
    for (const child of children) await look(child);
  }

  /** Travels so many days, and visits each boundary of a plan on the way, with the days before and after. */
  async function travel({ days, seconds }: Chapter): Promise<void> {
    const until = addDays(model.today, days);
    for (let next: string | undefined = model.today; next !== undefined; ) {
      const today = model.today;
      const stops = model.plans.flatMap((plan) =>
        model
          .boundariesOf(plan)
          .flatMap((date) => [addDays(date, -1), date, addDays(date, 1)])
          .filter((date) => date > today && date <= until)
          .map((date) => ({ date, child: plan.child })),
      );
      next = stops.map(({ date }) => date).sort()[0];
      if (next === undefined) break;
      const children = [...new Set(stops.filter(({ date }) => date === next).map(({ child }) => child))];
      await visit(next, seconds, children);
    }
    await visit(until, seconds, [...numbers.keys()]);
  }

  const birthDateFor = ({ authority, child, shift }: Step): string => {
    const first = firstBirthDates[child] ?? '';
    return shift === undefined ? (model.birthDateOf(authority, child) ?? first) : addDays(first, shift);
  };
  const planFor = (child: number, birthDate: string, form: PlanForm, reference: string) => {
    const plan = freshPlan({
      ...{ nhsNumber: numbers[child] ?? '', birthDate, start: form.start, reference, kind: kindOf(form.kind) },
      ...(form.end === undefined ? {} : { end: form.end }),
      ...(form.dueDate === undefined ? {} : { dueDate: form.dueDate }),
    });
    return { patient: buildPatient(plan), flag: { ...buildFlag(plan), status: form.status } as Flag };
  };

  async function submit(
    authority: number,
    child: number,
    birthDate: string,
    reference: string,
    form: PlanForm,
    how: Step['how'],
  ) {
    const { patient, flag } = planFor(child, birthDate, form, reference);
    const expected = model.submit({ authority, child, birthDate, reference, form }, how);
    const criteria = new URLSearchParams({ identifier: `${referenceSystem}|${reference}` });
    const answer = await postBundle(clients[authority] as FhirClient, how, [
      { resource: patient, request: { method: 'PUT', url: `Patient/${numbers[child]}` } },
      { resource: flag, request: { method: 'PUT', url: `Flag?${criteria}` } },
    ]);
    const [ofPatient, ofFlag] =
      answer.status === 200 ? statusesOf(answer) : [String(answer.status), String(answer.status)];
    const got = { patient: isAccepted(ofPatient), flag: isAccepted(ofFlag) };
    if (got.patient !== expected.patient || got.flag !== expected.flag) {
      const asked = JSON.stringify({ authority, child, birthDate, reference, form, how });
      fail(
        `${asked} was answered ${ofPatient}, ${ofFlag}; expected ${JSON.stringify(expected)}: ${JSON.stringify(answer.body)}`,
      );
    }
    if (got.flag) note(reference, answer.body.entry?.[1]?.response);
    await look(child);
  }

  async function state(authority: number, child: number, birthDate: string): Promise<void> {
    const isExpected = model.state(authority, child, birthDate);
    const { patient } = planFor(child, birthDate, { kind: 'CPP', status: 'active', start: model.today }, 'none');
    const path = `Patient/${numbers[child]}`;
    const { status, body } = await (clients[authority] as FhirClient).request('PUT', path, patient);
    if (isAccepted(status) !== isExpected) fail(`Patient ${birthDate}: ${status} ${JSON.stringify(body)}`);
    return look(child);
  }

  /** What the operator is shown of the details of children. */
  async function compareWaiting(): Promise<void> {
    const { body } = await world.operator.request<Parameters>('GET', 'Patient/$demographic-conflicts');
    const shown = (body.parameter ?? []).flatMap(({ name, part = [] }) => {
      const of = (wanted: string): string =>
        part
          .filter((each) => each.name === wanted)
          .map(({ valueString = '' }) => authorityIds.indexOf(valueString))
          .sort()
          .join();
      return name === 'child'
        ? [`${numbers.indexOf(part[0]?.valueString ?? '')} differ ${of('differs')} tried ${of('tried')}`]
        : [];
    });
    const [right, wrong] = [model.waiting().join('; '), shown.sort().join('; ')];
    if (right !== wrong) fail(`the operator sees "${wrong}", the model says "${right}"`);
  }

  /** The form of an amendment of a plan. */
  function amended(plan: ModelPlan, { change, start, end, due }: Step): PlanForm {
    const { kind, dueDate } = plan;
    const day = (offset: number): string => addDays(model.today, offset);
    switch (change) {
      case 'end':
        return { kind, dueDate, start: plan.start, status: 'inactive', end: day(end ?? 0) };
      case 'withdraw':
        return { kind, dueDate, start: plan.start, status: 'entered-in-error', end: plan.end };
      case 'start':
        return { kind, dueDate, start: day(start), status: 'active' };
      case 'due':
        return { kind, start: plan.start, status: 'active', ...(kind === 'UCPP' ? { dueDate: day(due ?? 0) } : {}) };
      case 'reopen':
        return { kind, dueDate, start: plan.start, status: 'active' };
      case 'same':
        return { kind, dueDate, start: plan.start, status: plan.status, end: plan.end };
    }
  }

  async function perform(next: Step): Promise<void> {
    const { kind, authority, plan, how, start, end, due } = next;
    // Most steps are about somebody who is born.
    const isBorn = (firstBirthDates[next.child] ?? '') <= model.today || next.chosen % 6 === 0;
    const day = (offset: number): string => addDays(model.today, offset);
    const chosen = model.plans[next.chosen % Math.max(1, model.plans.length)];
    const drawn = isBorn ? next.child : next.child % 3;
    const child = next.joins ? (chosen?.child ?? drawn) : drawn;
    if (kind === 'submit') {
      count += 1;
      const birthDate = birthDateFor({ ...next, child });
      // Most plans suit the age of their subject, so that they are accepted.
      const isAdult = birthdayAt(birthDate, 18) <= model.today;
      const suited: Kind = isAdult ? 'UCPP' : plan === 'UCPP' ? 'LAC' : plan;
      const submitted = next.chosen % 6 === 0 ? plan : suited;
      const form: PlanForm = {
        kind: submitted,
        start: day(start),
        ...(end === undefined ? { status: 'active' } : { status: 'inactive', end: day(end) }),
        ...(submitted === 'UCPP' && due !== undefined ? { dueDate: addDays(day(start), due) } : {}),
      };
      return submit(authority, child, birthDate, `plan-${count}`, form, how);
    }
    if (kind === 'state') return state(authority, child, birthDateFor({ ...next, child }));
    if (kind === 'guess') {
      const right = model.birthDateOf(1 - authority, child);
      for (const shift of [1, 2, 3]) await state(authority, child, birthDateFor({ ...next, child, shift }));
      // The right guess on the same day must not be confirmed.
      if (right !== undefined) await state(authority, child, right);
      return;
    }
    if (kind === 'resolve') {
      const path = `Patient/${numbers[child]}/$resolve-demographics`;
      const { status } = await world.operator.request('POST', path, { resourceType: 'Parameters' });
      if (status !== (model.resolve(child) ? 200 : 404)) fail(`${path}: ${status}`);
      return;
    }
    if (chosen === undefined) return;
    if (kind === 'amend') {
      const birthDate = birthDateFor({ ...next, authority: chosen.authority, child: chosen.child });
      return submit(chosen.authority, chosen.child, birthDate, chosen.reference, amended(chosen, next), how);
    }
    const flag = flags.get(chosen.reference);
    if (flag === undefined) return fail(`${chosen.reference} has no Flag`);
    const client = clients[chosen.authority] as FhirClient;
    if (kind === 'delete') {
      const { status, headers } = await client.request('DELETE', `Flag/${flag.id}`);
      if (status !== 204) fail(`delete ${status}`);
      flags.set(chosen.reference, { id: flag.id, etag: headers.get('etag') ?? flag.etag });
      model.delete(chosen);
      return look(chosen.child);
    }
    const form = amended(chosen, next);
    const read = await client.request('GET', `Flag/${flag.id}`);
    const etag = (chosen.isDeleted ? undefined : read.headers.get('etag')) ?? flag.etag;
    const isExpected = model.revive(chosen, form);
    const body = { ...planFor(chosen.child, '', form, chosen.reference).flag, id: flag.id };
    const answer: FhirResponse<unknown> = await client.request('PUT', `Flag/${flag.id}`, body, { 'if-match': etag });
    if (isAccepted(answer.status) !== isExpected) {
      fail(`${chosen.reference} ${JSON.stringify(form)} with ${etag}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    if (isExpected) flags.set(chosen.reference, { id: flag.id, etag: answer.headers.get('etag') ?? '' });
    return look(chosen.child);
  }

  /** The events of the life cycle that the server has recorded for an authority. */
  async function eventsOf(authority: number): Promise<string[]> {
    const references = new Map([...flags].map(([reference, { id }]) => [`Flag/${id}`, reference]));
    const found: string[] = [];
    let path: string | undefined = 'AuditEvent?type=plan-life-cycle&_count=100';
    while (path !== undefined) {
      const { body }: { body: Bundle } = await (clients[authority] as FhirClient).request<Bundle>('GET', path);
      for (const { resource } of body.entry ?? []) {
        const { entity = [], subtype = [], recorded } = resource as AuditEvent;
        const reference = references.get(entity[0]?.what?.reference ?? '');
        const code = subtype[0]?.code ?? '';
        const plan = model.plans.find((each) => each.reference === reference);
        // An event of a child is about any of the plans of the authority.
        const subject = code.startsWith('details-') ? `child ${plan?.child} ${plan?.authority}` : reference;
        found.push(`${dayOf(Date.parse(recorded))} ${subject} ${code} ${entity[0]?.detail?.[0]?.valueString}`);
      }
      path = body.link?.find(({ relation }) => relation === 'next')?.url.slice(world.server.baseUrl.length + 1);
    }
    return found;
  }

  for (const each of chapters) {
    for (const next of each.steps) await perform(next);
    await travel(each);
    await compareWaiting();
  }
  for (const [authority, client] of clients.entries()) {
    const { body } = await client.request<Bundle>('GET', 'AuditEvent?type=rest&subtype=search-type&_summary=count');
    if (body.total !== lookedUp[authority]) fail(`${body.total} look-ups of ${authority}, not ${lookedUp[authority]}`);
  }
  const events = [...(await eventsOf(0)), ...(await eventsOf(1))].sort();
  const expected = [...model.events].sort();
  if (events.join('\n') !== expected.join('\n')) {
    const lacks = expected.filter((event) => !events.includes(event));
    const extra = events.filter((event) => !expected.includes(event));
    fail(
      `events: lacking ${JSON.stringify(lacks)}, too many ${JSON.stringify(extra)}, ${events.length} of ${expected.length}`,
    );
  }
  const ofChildren = expected.filter((event) => event.includes('details-')).length;
  return { until: model.today, events: events.length, ofChildren, plans: model.plans.length };
}

async function sweptOn({ server }: RunningWorld): Promise<string> {
  const headers = { authorization: 'Bearer a-metrics-token-of-length' };
  const text = await (await fetch(`${server.origin}/metrics`, { headers })).text();
  const seconds = /^cpis_plan_sweep_timestamp_seconds (\S+)/m.exec(text)?.[1];
  return dayOf(Number(seconds ?? 0) * 1000);
}

interface Lives {
  readonly count: number;
  /** How many chapters of each are lived. */
  readonly chapters: number;
  readonly settings: () => Readonly<Record<string, string>>;
}

async function holds(test: Test, { count, chapters, settings }: Lives): Promise<void> {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(story, async (whole) => {
      number += 1;
      await test.test(`life ${number}`, async (one) => {
        const { until, events, ofChildren, plans } = await live(one, whole.slice(0, chapters), settings());
        one.pass(`until ${until}: ${plans} plans, ${events} events, ${ofChildren} of them about details`);
      });
      return test.passing();
    }),
    {
      ...{ numRuns: count, endOnFailure: true, seed: Number(seed) },
      // The lives are too long to be printed; the seed replays them.
      reporter: ({ failed, errorInstance, numRuns, seed: used }) => {
        if (failed) throw new Error(`life ${numRuns} of THIRTY_YEARS_SEED=${used}`, { cause: errorInstance });
      },
    },
  );
}

t.test('SQLite: what NHS staff see is what the model says, for thirty years', (test) =>
  holds(test, { count: Number(runs), chapters: 20, settings: () => ({}) }),
);

t.test('MongoDB: what NHS staff see is what the model says, for ten years', async (test) => {
  const mongo = await openMongoServer(test);
  const settings = () => ({ CPIS_MONGODB_URL: mongo.newDatabaseUrl() });
  await holds(test, { count: Math.ceil(Number(runs) / 4), chapters: 7, settings });
});

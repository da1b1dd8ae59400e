/** The pages of a look-up together have every visible plan once, in the order of one page, whatever the life cycle did. */
import type { Bundle, Flag } from 'fhir/r4.js';
import t from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { openWorld } from '../support/running-server.ts';
import { freshNhsNumber, freshPlan, kindOf, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, thirdLa, epr } = world;
const today = londonDate(Date.now());
const years = (count: number): string => `${Number(today.slice(0, 4)) - count}-01-15`;

/** Returns the id and end of each plan of an answer, in order. */
const idsIn = (body: Bundle): string[] =>
  resourcesOf<Flag>({ body, status: 200, headers: new Headers() })
    .filter(({ resourceType }) => resourceType === 'Flag')
    .map(({ id, period }) => `${id} ${period?.end ?? 'open'}`);

async function pagesOf(client: FhirClient, query: string): Promise<{ ids: string[]; totals: Set<number | undefined> }> {
  const ids: string[] = [];
  const totals = new Set<number | undefined>();
  let next: string | undefined = query;
  while (next !== undefined) {
    const { status, body }: { status: number; body: Bundle } = await client.request<Bundle>('GET', next);
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
    ids.push(...idsIn(body));
    totals.add(body.total);
    next = body.link?.find(({ relation }) => relation === 'next')?.url.slice(`${world.server.baseUrl}/`.length);
  }
  return { ids, totals };
}

/** Submits plans of three authorities on a person. Those of an adult end later than the life cycle ends them. */
async function submitMany(birthDate: string, isAdult: boolean): Promise<string> {
  const nhsNumber = freshNhsNumber();
  for (const [at, client] of [la, otherLa, thirdLa].entries()) {
    const of = { nhsNumber, birthDate, kind: kindOf(at === 1 ? 'LAC' : 'CPP') };
    const [from, until] = [addDays(today, -600 - at), addDays(today, -200 + 7 * at)];
    await submit(
      client,
      freshPlan({ ...of, start: from, end: until }),
      freshPlan({ ...of, start: addDays(until, 1 + at), ...(isAdult ? { end: addDays(today, -1) } : {}) }),
      freshPlan({ ...of, kind: kindOf('UCPP'), start: addDays(today, -20 * at), dueDate: addDays(today, 60) }),
    );
  }
  return nhsNumber;
}

const keys = ['status', 'date', '_lastUpdated', '_id'];
const sorts = ['', ...keys.flatMap((key) => [key, `-${key}`]), '-status,-date'];

for (const [name, birthDate, isAdult] of [
  ['a child of 16', years(16), false],
  ['somebody who turned 18 some days ago', addDays(today, -6585), true],
] as const) {
  t.test(`every sort of the plans of ${name}, in pages of 1 and 4`, async (t) => {
    const patient = await submitMany(birthDate, isAdult);
    const { body } = await epr.request<Bundle>('GET', `Flag?patient=${patient}`);
    const all = idsIn(body);
    t.ok(all.length >= 6);
    for (const sort of sorts) {
      const query = `Flag?patient=${patient}${sort === '' ? '' : `&_sort=${sort}`}`;
      const whole = await epr.request<Bundle>('GET', `${query}&_count=100`);
      t.strictSame(idsIn(whole.body).sort(), [...all].sort(), `${sort}: one page has all`);
      for (const count of [1, 4]) {
        const { ids, totals } = await pagesOf(epr, `${query}&_count=${count}`);
        t.strictSame(ids, idsIn(whole.body), `${sort}: pages of ${count}`);
        t.strictSame([...totals], [all.length]);
      }
    }
  });
}

t.test(
  'a later page is 410 if the plans have changed since, because a plan that moved would be left out',
  async (t) => {
    const patient = await submitMany(years(16), false);
    const pageTwo = async (): Promise<string> => {
      const { body } = await epr.request<Bundle>('GET', `Flag?patient=${patient}&_count=1&_sort=-_lastUpdated`);
      return body.link?.find(({ relation }) => relation === 'next')?.url.slice(`${world.server.baseUrl}/`.length) ?? '';
    };
    const before = await pageTwo();
    await submit(otherLa, freshPlan());
    t.equal((await epr.request('GET', before)).status, 200, 'another patient changes nothing');
    const [open] = resourcesOf<Flag>(await la.request<Bundle>('GET', `Flag?patient=${patient}&status=active`));
    if (open === undefined) throw new Error('there is one');
    const ended = { ...open, status: 'inactive', period: { ...open.period, end: today } };
    t.equal((await la.request('PUT', `Flag/${open.id}`, ended)).status, 200);
    t.match(await epr.request('GET', before), { status: 410, body: { issue: [{ code: 'expired' }] } });
    t.equal((await epr.request('GET', await pageTwo())).status, 200);
  },
);

/**
 * Accesses of NHS staff at random, done and refused, loud and silent: each caller finds exactly those that it may see, however
 * it asks. A model says which; `X-Request-ID` tells the AuditEvents apart.
 */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient, FhirResponse } from '../../src/synthetic/fhir-client.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, thirdLa, epr, otherEpr, auditor, trustAuditors } = world;
const secret = freshPlan().nhsNumber;

interface Child {
  readonly number: string;
  readonly holders: readonly FhirClient[];
}

/** A request for a child, and whether its AuditEvent is in the access history. */
const ways: readonly (readonly [method: string, path: (number: string) => string, inHistory: boolean])[] = [
  ['GET', (number) => `Flag?patient=${number}`, true],
  ['GET', (number) => `Patient/${number}`, true],
  ['GET', (number) => `AuditEvent?patient=${number}`, false],
  ['GET', (number) => `AuditEvent?patient=${number}&nonsense=1`, false],
  ['GET', (number) => `Flag?patient=${number}&status=nonsense`, false],
  ['GET', (number) => `Flag?patient=${number}&nonsense=${secret}`, false],
  ['GET', (number) => `Flag?patient=${number}&_format=xml`, false],
  ['GET', (number) => `Observation?patient=${number}`, false],
  ['GET', (number) => `Patient/${number}/$everything`, false],
  ['GET', (number) => `Patient/${number}/_history/1`, false],
  ['DELETE', (number) => `Patient/${number}`, false],
  ['POST', (number) => number, true],
];

const access = fc.record({
  by: fc.constantFrom(epr, otherEpr),
  child: fc.nat({ max: 2 }),
  way: fc.constantFrom(...ways),
  silent: fc.boolean(),
});

type Access = typeof access extends fc.Arbitrary<infer T> ? T & { readonly requestId: string } : never;

async function perform({ by, way: [method, path], silent, requestId }: Access, number: string): Promise<void> {
  const headers = { 'x-request-id': requestId, ...(silent ? { isunscheduledaccessevent: 'false' } : {}) };
  if (method !== 'POST') {
    await by.request(method, path(number), undefined, headers);
    return;
  }
  const entry = [{ request: { method: 'GET', url: `Flag?patient=${path(number)}` } }];
  await by.request('POST', '', { resourceType: 'Bundle', type: 'batch', entry }, headers);
}

/** Returns the events on all pages. */
async function findAll(client: FhirClient, criteria: string): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
  let path: string | undefined = `AuditEvent?${criteria}&_count=3`;
  while (path !== undefined) {
    const answer: FhirResponse<Bundle> = await client.request<Bundle>('GET', path);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
    events.push(...resourcesOf<AuditEvent>(answer));
    const next: string | undefined = answer.body.link?.find(({ relation }) => relation === 'next')?.url;
    path = next?.slice(world.server.baseUrl.length + 1);
  }
  return events;
}

const requestsOf = (events: readonly AuditEvent[], accesses: readonly Access[]): string[] => {
  const text = JSON.stringify(events);
  return accesses.filter(({ requestId }) => text.includes(requestId)).map(({ requestId }) => requestId);
};

const organisationOf = (by: FhirClient): string => (by === epr ? 'ZZH01' : 'ZZH02');

/** Each caller with what the model shows it of the accesses to a child. */
const callers: readonly (readonly [string, FhirClient, (access: Access, child: Child) => boolean])[] = [
  ...([la, otherLa, thirdLa] as const).map(
    (authority, index) =>
      [
        `authority ${index}`,
        authority,
        ({ silent }: Access, child: Child) => !silent && child.holders.includes(authority),
      ] as const,
  ),
  ['auditor of the operator', auditor, () => true],
  ['auditor of the first trust', trustAuditors[0] as FhirClient, ({ by }) => by === epr],
  ['auditor of the second trust', trustAuditors[1] as FhirClient, ({ by }) => by === otherEpr],
];

async function checkChild(child: Child, accesses: readonly Access[]): Promise<void> {
  const all = await findAll(auditor, `patient=${child.number}`);
  for (const [name, client, isShown] of callers) {
    const expected = accesses.filter((each) => isShown(each, child));
    const expect = (what: string, found: readonly string[], of: readonly Access[]): void => {
      const ids = of.map(({ requestId }) => requestId);
      if (found.join() === ids.join()) return;
      const odd = accesses.filter(({ requestId }) => found.includes(requestId) !== ids.includes(requestId));
      const words = odd.map(({ way, silent }) => `${way[0]} ${way[1]('N')}${silent ? ', silent' : ''}`);
      throw new Error(`${name}, ${what}: ${words.join('; ')}`);
    };
    const found = await findAll(client, `patient=${child.number}`);
    expect('patient', requestsOf(found, accesses), expected);
    for (const by of [epr, otherEpr]) {
      const criteria = `patient=${child.number}&agent=Organization/${organisationOf(by)}`;
      const ofTrust = await findAll(client, criteria);
      expect(
        criteria,
        requestsOf(ofTrust, accesses),
        expected.filter((each) => each.by === by),
      );
      const counted = await client.request<Bundle>('GET', `AuditEvent?${criteria}&_summary=count`);
      // The searches of an auditor are accesses of its own organisation, so that its count grows.
      if (name.startsWith('authority') && counted.body.total !== ofTrust.length)
        throw new Error(`${name}, count of ${criteria}`);
    }
    const shown = new Set(found.map(({ id }) => id));
    for (const { id = '', entity, agent } of all) {
      if (!agent.some(({ who }) => who?.identifier?.value === 'ZZH01' || who?.identifier?.value === 'ZZH02')) continue;
      const [byId, single] = [await client.request('GET', `AuditEvent/${id}`), await findAll(client, `_id=${id}`)];
      if ((byId.status === 200) !== shown.has(id) || (single.length === 1) !== shown.has(id)) {
        throw new Error(`${name}, by id: ${byId.status}, ${single.length}: ${JSON.stringify(entity)}`);
      }
      if (byId.status === 200) continue;
      const absent = await client.request('GET', `AuditEvent/${randomUUID()}`);
      if (JSON.stringify([byId.status, byId.body]) !== JSON.stringify([absent.status, absent.body])) {
        throw new Error(`${name}: hidden and absent differ`);
      }
    }
    const queries = found.flatMap(({ entity = [] }) => entity.map(({ query = '' }) => atob(query)));
    if (name.startsWith('authority') && queries.join().includes(secret)) throw new Error(`${name} sees another number`);
  }
  const history = await findAll(epr, `patient=${child.number}`);
  const loud = accesses.filter(({ way, silent }) => way[2] && !silent);
  if (history.length !== loud.length) throw new Error(`access history: ${history.length}, not ${loud.length}`);
}

t.test('each caller finds exactly the accesses that it may see', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(access, { minLength: 1, maxLength: 8 }), async (chosen) => {
      const children: Child[] = [];
      for (const holders of [[la], [otherLa], [la, otherLa]]) {
        const plan = freshPlan();
        for (const holder of holders) await submit(holder, plan);
        children.push({ number: plan.nhsNumber, holders });
      }
      const accesses = chosen.map((each) => ({ ...each, requestId: randomUUID() }));
      for (const each of accesses) await perform(each, children[each.child]?.number ?? '');
      for (const [index, child] of children.entries()) {
        await checkChild(
          child,
          accesses.filter((each) => each.child === index),
        );
      }
    }),
    {
      numRuns: 20,
      examples: [[ways.flatMap((way) => [true, false].map((silent) => ({ by: epr, child: 2, way, silent })))]],
    },
  );
});

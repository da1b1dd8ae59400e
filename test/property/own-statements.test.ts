/**
 * Submissions at random by one authority, in two worlds: in one of them two other authorities hold plans on the same children,
 * with other details. Both worlds answer the same, so that nobody finds out what others state, or that they state anything.
 */
import fc from 'fast-check';
import type { FhirResource } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { daysFromNow, freshPlan, kindOf, referenceSystem } from '../support/submissions.ts';

const [shared, alone] = [await openWorld(t), await openWorld(t)];

const born = ['2012-05-06', '2013-07-08', '2014-09-10', '1999-01-02'] as const;
const families = ['Fieldfare', 'Sandpiper', 'Wheatear'] as const;
const nhs = 'https://fhir.nhs.uk/Id/nhs-number';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
type Fill = (plan: SyntheticPlan) => Asked;

const pick = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const details = fc.record({ birthDate: pick(...born), family: pick(...families), given: pick('Ada', 'Bo') });
const plans = fc.record({
  kind: pick(kindOf('CPP'), kindOf('LAC'), kindOf('UCPP')),
  reference: pick('one', 'two'),
  end: pick(undefined, daysFromNow(-20)),
  status: pick('as it is', 'as it is', 'entered-in-error'),
});
type Details = typeof details extends fc.Arbitrary<infer T> ? T : never;
type Planned = typeof plans extends fc.Arbitrary<infer T> ? T : never;

/** References are unique for each child, so that no plan moves. */
function asPlan(
  plan: SyntheticPlan,
  of: Partial<Details>,
  { kind, reference, end }: Omit<Planned, 'status'>,
): SyntheticPlan {
  const { end: _, ...rest } = { ...plan, ...of, kind, reference: `${plan.nhsNumber}-${reference}` };
  return end === undefined ? rest : { ...rest, end };
}

const flagOf = (plan: SyntheticPlan, { status }: Planned): FhirResource => {
  const flag = buildFlag(plan);
  return status === 'entered-in-error' ? { ...flag, status } : flag;
};
const byReference = ({ reference }: SyntheticPlan): string =>
  `Flag?${new URLSearchParams({ identifier: `${referenceSystem}|${reference}` })}`;
const guards = pick<Record<string, string>>({}, {}, { 'if-match': 'W/"1"' }, { 'if-match': 'W/"2"' });
const jsonPatch = { 'content-type': 'application/json-patch+json' };

const stated: fc.Arbitrary<Fill> = fc
  .tuple(details, guards, pick('POST', 'PUT', 'conditional', 'if-none-exist', 'validate', 'patch', 'patch by date'))
  .map(
    ([of, headers, how]): Fill =>
      (plan) => {
        const body = buildPatient({ ...plan, ...of });
        const path = `Patient/${plan.nhsNumber}`;
        const patch = [{ op: 'replace', path: '/birthDate', value: of.birthDate }];
        switch (how) {
          case 'POST':
            return { method: 'POST', path: 'Patient', body };
          case 'PUT':
            return { method: 'PUT', path, body, headers };
          case 'conditional':
            return { method: 'PUT', path: `Patient?identifier=${nhs}|${plan.nhsNumber}`, body, headers };
          case 'if-none-exist':
            return { method: 'POST', path: 'Patient', body, headers: { 'if-none-exist': `birthdate=${of.birthDate}` } };
          case 'validate':
            return { method: 'POST', path: 'Patient/$validate', body };
          case 'patch':
            return { method: 'PATCH', path, body: patch, headers: { ...jsonPatch, ...headers } };
          default:
            return {
              ...{ method: 'PATCH', path: `Patient?_id=${plan.nhsNumber}&birthdate=${of.birthDate}` },
              ...{ body: [{ op: 'replace', path: '/name/0/family', value: of.family }], headers: jsonPatch },
            };
        }
      },
  );
const planned: fc.Arbitrary<Fill> = fc.tuple(plans, pick('PUT', 'PUT', 'POST', 'DELETE', 'if-none-exist')).map(
  ([of, how]): Fill =>
    (child) => {
      const plan = asPlan(child, {}, of);
      const body = flagOf(plan, of);
      if (how === 'DELETE') return { method: 'DELETE', path: byReference(plan) };
      if (how === 'PUT') return { method: 'PUT', path: byReference(plan), body };
      const headers = how === 'POST' ? {} : { 'if-none-exist': `patient=${plan.nhsNumber}&status=active` };
      return { method: 'POST', path: 'Flag', body, headers };
    },
);
const bundled: fc.Arbitrary<Fill> = fc
  .tuple(details, plans, pick('batch', 'transaction'), pick('Patient/N', 'by name', 'by date'))
  .map(
    ([of, what, type, subject]): Fill =>
      (child) => {
        const plan = asPlan(child, of, what);
        const [patient, flag] = buildRecord(plan);
        const reads = ['Patient/N', 'Patient/N/_history', 'Flag?patient=N&_include=Flag:patient'].map((url) => ({
          request: { method: 'GET', url: url.replace('N', plan.nhsNumber) },
        }));
        const criteria = subject === 'by name' ? `family=${of.family}` : `birthdate=${of.birthDate}`;
        const reference =
          subject === 'Patient/N' ? `Patient/${plan.nhsNumber}` : `Patient?_id=${plan.nhsNumber}&${criteria}`;
        const resource = { ...flagOf(plan, what), subject: { reference } };
        const entry = [patient, { ...flag, resource }, ...(what.reference === 'one' ? reads : [])];
        return { method: 'POST', path: '', body: { resourceType: 'Bundle', type, entry } };
      },
  );
const read: fc.Arbitrary<Fill> = fc
  .tuple(
    details,
    pick(
      'Patient/N',
      'Patient/N/_history',
      'Patient/N/_history/1',
      'Patient/N/_history/2',
      'Patient/_history?_count=20',
      '_history?_count=250',
      'Patient?_id=N',
      `Patient?identifier=${nhs}|N`,
      'Patient?birthdate=DATE&_count=5',
      'Patient?family=NAME&_summary=count',
      'Patient?name:contains=NAME&birthdate=DATE&_sort=_id',
      'Patient?_has:Flag:patient:status=active&_id=N',
      'Patient?_id=N&_revinclude=Flag:patient',
      'Patient/N/Flag',
      'Flag?patient=N&_include=Flag:patient',
      'Flag?patient.birthdate=DATE&patient._id=N',
      'Flag?patient.family=NAME&_total=accurate&_count=3&_sort=identifier',
    ),
  )
  .map(
    ([of, path]): Fill =>
      ({ nhsNumber }) => ({
        method: 'GET',
        path: path.replace('DATE', of.birthDate).replace('NAME', of.family).replaceAll(/\bN\b/g, nhsNumber),
      }),
  );
const script = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: stated },
    { weight: 3, arbitrary: planned },
    { weight: 3, arbitrary: bundled },
    { weight: 4, arbitrary: read },
  ),
  { minLength: 4, maxLength: 9 },
);

const anyId = /[0-9a-f]{8}-[0-9a-f-]{27}/g;
const times = /\d{4}-\d\d-\d\dT[\d:.]+Z/g;

/** Orders what the server orders by ids or by moments, which differ between the worlds. */
function order(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(order);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, order(member)]));
  if (!Array.isArray(members['entry']) || !['searchset', 'history'].includes(String(members['type']))) return members;
  const keyOf = (entry: unknown): string => JSON.stringify(entry).replaceAll(anyId, '').replaceAll(times, '');
  return { ...members, entry: members['entry'].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)) };
}

/** Answers as text, in which an id is named by where it was first seen. */
function openTranscript(baseUrl: string): (client: FhirClient, asked: Asked) => Promise<string> {
  const ids = new Map<string, string>();
  return async (client, { method, path, body, headers = {} }) => {
    const answer = await client.request(method, path, body, headers);
    const kept = [...answer.headers].filter(
      ([name]) => !/^(date|x-request-id|content-length|last-modified)$/.test(name),
    );
    return JSON.stringify([answer.status, kept, order(answer.body)])
      .replaceAll(baseUrl, '[base]')
      .replaceAll(times, '[time]')
      .replaceAll(/_cursor=[\w-]+/g, '[cursor]')
      .replaceAll(anyId, (id) => {
        const name = ids.get(id) ?? `[id ${ids.size}]`;
        ids.set(id, name);
        return name;
      });
  };
}

const transcripts = [openTranscript(shared.server.baseUrl), openTranscript(alone.server.baseUrl)] as const;

/** The other authorities hold plans on the child, or state details only. */
const others = fc.record({
  details,
  plan: fc.option(plans, { nil: undefined }),
  before: fc.nat(6),
  client: pick(shared.otherLa, shared.thirdLa),
});

t.test('the answers to an authority do not depend on what others state', async (t) => {
  const statuses = new Set<string>();
  await fc.assert(
    fc.asyncProperty(script, fc.array(others, { minLength: 1, maxLength: 3 }), async (steps, statements) => {
      const child = freshPlan();
      for (const [index, step] of steps.entries()) {
        for (const { details: of, plan, client } of statements.filter(
          ({ before }) => before === index || index === 0,
        )) {
          const theirs = asPlan(child, of, { ...(plan ?? { kind: kindOf('CPP'), end: undefined }), reference: 'one' });
          const entry = buildRecord(theirs).slice(0, plan === undefined ? 1 : 2);
          await client.request('POST', '', { resourceType: 'Bundle', type: 'batch', entry });
        }
        const asked = step(child);
        const [among, single] = [await transcripts[0](shared.la, asked), await transcripts[1](alone.la, asked)];
        statuses.add(`${asked.method} ${single.slice(1, 4)}`);
        if (among !== single) throw new Error(`${JSON.stringify(asked)}\nshared: ${among}\nalone:  ${single}`);
      }
    }),
    { numRuns: 20 },
  );
  t.ok(statuses.size >= 8, [...statuses].join(', '));
});

/**
 * Plans that move at random between NHS numbers on which others hold plans: no answer to anybody but their authority connects
 * two numbers, and each event is as one of an end or of a creation.
 */
import fc from 'fast-check';
import type { AuditEvent, Bundle, Flag } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import {
  freshNhsNumber,
  freshPlan,
  kindOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
} from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, thirdLa, epr } = world;
const others = [otherLa, thirdLa];

/** Everything that a client is answered about the numbers, each answer with the number that it asked for. */
async function answersTo(client: FhirClient, numbers: readonly string[]): Promise<[string, string][]> {
  const asked = numbers.flatMap((number) =>
    [`Flag?patient=${number}`, `AuditEvent?patient=${number}`, `Patient/${number}`].map(
      (path) => [number, path] as const,
    ),
  );
  return Promise.all(
    asked.map(async ([number, path]): Promise<[string, string]> => {
      const { body } = await client.request('GET', path);
      return [number, JSON.stringify(body)];
    }),
  );
}

/** Returns an event without what differs between any two. */
function formOf(event: AuditEvent, number: string): string {
  const { id: _, recorded: _recorded, meta, ...rest } = event;
  return JSON.stringify({ ...rest, meta: { ...meta, lastUpdated: '' } }).replaceAll(number, 'NUMBER');
}

/** Returns the events of writes on a number that the client is shown, oldest first. */
async function writesSeen(client: FhirClient, number: string): Promise<string[]> {
  const found = await client.request<Bundle>('GET', `AuditEvent?patient=${number}&_sort=date&_count=100`);
  return resourcesOf<AuditEvent>(found)
    .filter(({ action }) => action === 'C' || action === 'U')
    .map((event) => formOf(event, number));
}

t.test('property: nothing that others are answered connects two numbers of a plan that moves', async (t) => {
  const moves = fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 4 });
  const holders = fc.array(fc.subarray([0, 1]), { minLength: 3, maxLength: 3 });
  const types = fc.constantFrom('batch' as const, 'transaction' as const);
  await fc.assert(
    fc.asyncProperty(moves, holders, types, async (targets, holdersOf, type) => {
      const numbers = [freshNhsNumber(), freshNhsNumber(), freshNhsNumber()] as const;
      const plan = freshPlan({ nhsNumber: numbers[0], kind: kindOf('LAC') });
      const [id = ''] = await submit(la, plan);
      for (const [index, ids] of holdersOf.entries()) {
        for (const each of ids) {
          const client = others[each];
          if (client !== undefined) await submit(client, freshPlan({ nhsNumber: numbers[index] ?? '' }));
        }
      }
      for (const target of targets) {
        const next = { ...plan, nhsNumber: numbers[target] ?? '' };
        const answer = await postBundle(la, type, buildRecord(next));
        if (!statusesOf(answer).every((status) => /^20/.test(status))) throw new Error(JSON.stringify(answer.body));
        for (const number of numbers) {
          const flags = resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${number}`));
          const isThere = flags.some((flag) => flag.id === id);
          if (isThere !== (number === next.nhsNumber)) throw new Error('the plan is not at its number alone');
        }
      }
      for (const client of [epr, ...others]) {
        for (const [number, text] of await answersTo(client, numbers)) {
          if (numbers.some((other) => other !== number && text.includes(other))) throw new Error(`connected: ${text}`);
          if (client !== epr && text.includes(id)) throw new Error(`names the Flag: ${text}`);
        }
      }
      // What another authority is answered that submits the reference, or amends the Flag, under each number.
      for (const number of numbers) {
        const theirs = { ...buildFlag(plan), subject: { reference: `Patient/${number}` } };
        const texts = [
          JSON.stringify((await otherLa.request('PUT', `Flag/${id}`, { ...theirs, id })).body),
          JSON.stringify(
            (await otherLa.request('POST', 'Patient', buildPatient({ ...plan, nhsNumber: number }))).body ?? '',
          ),
        ];
        for (const text of texts) {
          if (numbers.some((other) => other !== number && text.includes(other))) throw new Error(`connected: ${text}`);
        }
      }
    }),
    { seed: 20261201, numRuns: 8 },
  );
  t.pass('holds');
});

t.test('the events of a move have the form of those of an end and of a creation', async (t) => {
  const moved = freshPlan({ kind: kindOf('LAC') });
  const [moveFrom, moveTo, endedAt, createdAt] = [moved.nhsNumber, ...Array.from({ length: 3 }, freshNhsNumber)] as [
    string,
    string,
    string,
    string,
  ];
  const ended = freshPlan({ kind: kindOf('LAC'), nhsNumber: endedAt });
  await submit(la, moved, ended);
  for (const nhsNumber of [moveFrom, moveTo, endedAt, createdAt]) await submit(otherLa, freshPlan({ nhsNumber }));
  const before = await Promise.all([moveFrom, moveTo, endedAt, createdAt].map((number) => writesSeen(otherLa, number)));
  await submit(la, { ...moved, nhsNumber: moveTo });
  const flag = buildFlag({ ...ended, end: '2026-06-01' });
  t.equal((await la.request('PUT', `Flag?identifier=${ended.referenceSystem}|${ended.reference}`, flag)).status, 200);
  await submit(la, freshPlan({ kind: kindOf('LAC'), nhsNumber: createdAt }));
  const after = await Promise.all([moveFrom, moveTo, endedAt, createdAt].map((number) => writesSeen(otherLa, number)));
  const [left, arrived, end, creation] = after.map((events, index) => events.slice(before[index]?.length ?? 0));
  t.equal(left?.length, 1);
  t.strictSame(left, end, 'as an end');
  t.equal(arrived?.length, 1);
  t.strictSame(arrived, creation, 'as a creation');
});

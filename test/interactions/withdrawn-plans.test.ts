/** A withdrawn plan stays withdrawn, and a reference belongs to one plan for good. */
import type { Bundle, Flag, OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { buildFlag, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { amendRoutes, byReference, createRoutes } from '../support/plan-routes.ts';
import { openWorld } from '../support/running-server.ts';
import { codesOf, freshPlan, kindOf, postBundle, resourcesOf, statusesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, epr } = world;

const shown = async ({ nhsNumber }: SyntheticPlan): Promise<number> =>
  resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`)).length;
const stays = [{ severity: 'error', code: 'business-rule', diagnostics: /stays withdrawn.*If-Match.*new reference/ }];

/** Each way to withdraw a plan, and to take its reference off it before or after. */
const withdrawals: readonly [string, (id: string, flag: Flag) => Promise<void>][] = [
  ['entered-in-error', async (id, flag) => void (await put(id, { ...flag, status: 'entered-in-error' }))],
  ['deleted', async (id) => void (await la.request('DELETE', `Flag/${id}`))],
  ['deleted by its reference', async (_id, flag) => void (await la.request('DELETE', `Flag?${byReference(flag)}`))],
  [
    'entered-in-error, then another reference',
    async (id, flag) => {
      await put(id, { ...flag, status: 'entered-in-error' });
      await put(id, { ...renamed(flag), status: 'entered-in-error' });
    },
  ],
  [
    'another reference, then entered-in-error',
    async (id, flag) => {
      await put(id, renamed(flag));
      await put(id, { ...renamed(flag), status: 'entered-in-error' });
    },
  ],
  [
    'another reference, then deleted',
    async (id, flag) => {
      await put(id, renamed(flag));
      await la.request('DELETE', `Flag/${id}`);
    },
  ],
  [
    'entered-in-error, then deleted',
    async (id, flag) => {
      await put(id, { ...flag, status: 'entered-in-error' });
      await la.request('DELETE', `Flag/${id}`);
    },
  ],
];
const put = async (id: string, flag: Flag): Promise<void> => {
  const { status } = await la.request('PUT', `Flag/${id}`, { ...flag, id });
  if (status !== 200) throw new Error(`the update was answered ${status}`);
};
const renamed = (flag: Flag): Flag => ({
  ...flag,
  identifier: (flag.identifier ?? []).map(({ system = '', value }) => ({ system, value: `${value}-renamed` })),
});

t.test('after each kind of withdrawal, no submission by the reference makes the plan valid again', async (t) => {
  for (const [how, withdraw] of withdrawals) {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    await withdraw(id, buildFlag(plan));
    for (const { name, send } of createRoutes(la)) {
      const { status, issues } = await send(buildFlag(plan));
      if (status === 200) {
        // A conditional create that finds the withdrawn plan itself.
        t.match(issues, [{ severity: 'warning', diagnostics: /was withdrawn/ }], `${how}, ${name}`);
      } else {
        t.equal(status, 422, `${how}, ${name}`);
        t.match(issues, stays, `${how}, ${name}`);
      }
    }
    for (const type of ['batch', 'transaction'] as const) {
      const answer = await postBundle(la, type, buildRecord(plan));
      t.match(type === 'batch' ? statusesOf(answer)[1] : String(answer.status), /^422/, `${how}, record by ${type}`);
    }
    t.equal(await shown(plan), 0, how);
    await submit(otherLa, plan);
    t.equal(await shown(plan), 1, "another authority's reference is its own");
    await submit(la, freshPlan({ nhsNumber: plan.nhsNumber }));
    t.equal(await shown(plan), 2, 'a new reference is a new plan');
  }
});

t.test('an amendment cannot take the reference of a withdrawn plan, or of another held one', async (t) => {
  const [gone, deleted, held] = [freshPlan(), freshPlan(), freshPlan()] as const;
  const [goneId = '', deletedId = '', heldId] = await submit(la, gone, deleted, held);
  await put(goneId, { ...buildFlag(gone), status: 'entered-in-error' });
  await la.request('DELETE', `Flag/${deletedId}`);
  const own = freshPlan({ nhsNumber: held.nhsNumber, kind: kindOf('LAC') });
  const [id = ''] = await submit(la, own);
  for (const { name, send } of amendRoutes(la, ['identifier'])) {
    for (const [other, status, issue] of [
      [gone, 422, stays[0]],
      [deleted, 422, stays[0]],
      [held, 409, { code: 'duplicate', diagnostics: new RegExp(`Flag/${heldId}, reference .*${held.reference}`) }],
    ] as const) {
      const taken = { ...buildFlag(own), identifier: buildFlag(other).identifier ?? [] };
      const answer = await send(id, buildFlag(own), taken);
      t.equal(answer.status, status, name);
      t.match(answer.issues, [issue], name);
    }
  }
});

t.test('a plan that was withdrawn or deleted in error is revived by its id and version only', async (t) => {
  for (const how of ['entered-in-error', 'deleted'] as const) {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const flag = { ...buildFlag(plan), id };
    if (how === 'deleted') await la.request('DELETE', `Flag/${id}`);
    else await put(id, { ...flag, status: 'entered-in-error' });
    const without = await la.request<OperationOutcome>('PUT', `Flag/${id}`, flag);
    t.equal(without.status, how === 'deleted' ? 410 : 422, how);
    t.equal((await la.request('PUT', `Flag/${id}`, flag, { 'if-match': 'W/"1"' })).status, 412, how);
    const foreign = await otherLa.request('PUT', `Flag/${id}`, flag, { 'if-match': 'W/"2"' });
    t.strictSame([foreign.status, codesOf(foreign)], [405, ['not-supported']], how);
    t.equal(await shown(plan), 0, how);
    const revived = await la.request<Flag>('PUT', `Flag/${id}`, flag, { 'if-match': 'W/"2"' });
    t.match(revived, { status: 200, body: { id, status: 'active', meta: { versionId: '3' } } }, how);
    t.equal(await shown(plan), 1, how);
    const again = await la.request<Flag>('PUT', `Flag?${byReference(flag)}`, buildFlag(plan));
    t.match(again, { status: 200, body: { id, meta: { versionId: '3' } } }, how);
  }
});

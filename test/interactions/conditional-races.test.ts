/** Conditional writes of the same plan at one time: all but one find the plan of the first. */
import type { Flag } from 'fhir/r4.js';
import t from 'tap';
import type { Store } from '../../src/store/store.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, postBundle, statusesOf, submit } from '../support/submissions.ts';

/** Runs once after the next search for Flags, before its result is used. */
let afterSearch: (() => Promise<unknown>) | undefined;

function interleave(store: Store): Store {
  const search: Store['search'] = async (plan) => {
    const result = await store.search(plan);
    if (plan.type !== 'Flag' || afterSearch === undefined) return result;
    const act = afterSearch;
    afterSearch = undefined;
    await act();
    return result;
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'search') return search;
      const value = target[name as keyof Store];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const { la } = await openWorld(t, { aroundStore: interleave });

/** A child that another plan of the authority is on, so that its Patient is there, and a plan that is not. */
async function newPlan() {
  const known = freshPlan();
  await submit(la, known);
  const plan = freshPlan({ nhsNumber: known.nhsNumber, kind: kindOf('LAC') });
  const criteria = new URLSearchParams({ identifier: `${plan.referenceSystem}|${plan.reference}` }).toString();
  return { plan, flag: buildFlag(plan), criteria };
}

t.test('a conditional create finds a plan that was created after its search', async (t) => {
  const { flag, criteria } = await newPlan();
  let first: string | undefined;
  afterSearch = async () => {
    first = (await la.request<Flag>('POST', 'Flag', flag)).body.id;
  };
  const { status, headers } = await la.request<Flag>('POST', 'Flag', flag, { 'if-none-exist': criteria });
  t.equal(status, 200);
  t.match(headers.get('location'), new RegExp(`/Flag/${first}/`));
});

t.test('a conditional update amends a plan that was created after its search', async (t) => {
  const { flag, criteria } = await newPlan();
  afterSearch = () => la.request<Flag>('POST', 'Flag', flag);
  const amended = { ...flag, period: { ...flag.period, start: '2024-05-06' } };
  const { status, body } = await la.request<Flag>('PUT', `Flag?${criteria}`, amended);
  t.equal(status, 200);
  t.equal(body.meta?.versionId, '2');
});

for (const kind of ['batch', 'transaction'] as const) {
  t.test(`a conditional create in a ${kind} finds a plan that was created after its search`, async (t) => {
    const { plan, flag, criteria } = await newPlan();
    afterSearch = () => la.request<Flag>('POST', 'Flag', flag);
    const answer = await postBundle(la, kind, [
      { resource: buildPatient(plan), request: { method: 'PUT', url: `Patient/${plan.nhsNumber}` } },
      { resource: flag, request: { method: 'POST', url: 'Flag', ifNoneExist: criteria } },
    ]);
    t.equal(answer.status, 200);
    t.match(statusesOf(answer)[1], /^200/);
  });
}

t.test('a plan that overlaps another one is refused all the same', async (t) => {
  const { plan, flag } = await newPlan();
  t.equal((await la.request('POST', 'Flag', flag)).status, 201);
  const other = buildFlag({ ...plan, reference: `${plan.reference}-other` });
  const condition = { 'if-none-exist': `identifier=${plan.referenceSystem}|${plan.reference}-other` };
  t.equal((await la.request('POST', 'Flag', other, condition)).status, 409);
});

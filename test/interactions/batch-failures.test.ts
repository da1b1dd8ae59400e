import t from 'tap';
import type { Store } from '../../src/store/store.ts';
import { storeUnavailable } from '../../src/store/store-unavailable.ts';
import { buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, outcomeOf, postBundle, statusesOf } from '../support/submissions.ts';

let failures = 0;
let failsReads = false;

/** Fails the next `failures` commits that write a Patient. */
function failingStore(store: Store): Store {
  const commit: Store['commit'] = async (unit) => {
    if (failures > 0 && unit.writes.some(({ type }) => type.startsWith('Patient'))) {
      failures -= 1;
      throw new Error('disk full');
    }
    return store.commit(unit);
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'commit') return commit;
      if (name === 'read' && failsReads) return () => Promise.reject(storeUnavailable('test'));
      const value = target[name as keyof Store];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const { la } = await openWorld(t, { aroundStore: failingStore });

t.test('a plan whose Patient failed in passing is a passing fault too, and both can be repeated', async (t) => {
  const [first, second] = [freshPlan(), freshPlan()];
  const entries = [...buildRecord(first), ...buildRecord(second)];
  failures = 2;
  const failed = await postBundle(la, 'batch', entries);
  for (const [index, status] of statusesOf(failed).entries()) t.match(status, /^50[03]/, `entry ${index}`);
  for (const index of [1, 3]) {
    t.match(statusesOf(failed)[index], /^503/);
    t.match(outcomeOf(failed.body.entry?.[index]).issue, [
      { code: 'transient', diagnostics: /Repeat both/, expression: [`Bundle.entry[${index}].resource.subject`] },
    ]);
  }
  const repeated = await postBundle(la, 'batch', entries);
  t.strictSame(statusesOf(repeated), Array(4).fill('201 Created'));
});

t.test('a refused Patient still refuses its plan', async (t) => {
  const answer = await postBundle(la, 'batch', buildRecord(freshPlan({ birthDate: '2018-99-99' })));
  t.match(statusesOf(answer)[1], /^422/);
});

t.test('a transaction with a bad entry is a passing fault while the store fails', async (t) => {
  const entries = [{ request: { method: 'DELETE', url: 'Observation/abc' } }, ...buildRecord(freshPlan())];
  failsReads = true;
  const answer = await postBundle(la, 'transaction', entries);
  failsReads = false;
  t.equal(answer.status, 503);
  t.match(answer.body, { issue: [{ code: 'transient' }] });
  t.equal((await postBundle(la, 'transaction', entries)).status, 404);
});

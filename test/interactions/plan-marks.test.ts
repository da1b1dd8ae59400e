/** A mark that the sweep sets while the authority amends or confirms its plan is kept. */
import t from 'tap';
import { confirmedOn, markNotified, notifiedOn } from '../../src/cpis/plan-labels.ts';
import type { Store, StoredResource } from '../../src/store/store.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, submit } from '../support/submissions.ts';

let real: Store | undefined;
/** Called before the next unit that guards a Flag. */
let before: ((flagId: string) => Promise<void>) | undefined;
const world = await openWorld(t, {
  aroundStore(store) {
    real = store;
    const commit: Store['commit'] = async (unit) => {
      const flag = unit.guards.find(({ type }) => type === 'Flag');
      const run = flag === undefined ? undefined : before;
      if (run !== undefined) before = undefined;
      await run?.(flag?.id ?? '');
      return store.commit(unit);
    };
    return Object.create(store, { commit: { value: commit } });
  },
});

async function flagOf(id: string): Promise<StoredResource> {
  const read = await real?.read('Flag', id);
  if (read?.kind !== 'found') throw new Error('the plan is missing');
  return read.resource;
}

async function mark(id: string): Promise<void> {
  const { type, revision, labels } = await flagOf(id);
  const guard = { type, id, expectRevision: revision, labels: markNotified(labels, 'ends-soon', '2030-01-01') };
  await real?.commit({ writes: [], guards: [guard], audits: [] });
}

t.test('an amendment keeps a mark that was set meanwhile', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(world.la, plan);
  before = mark;
  await submit(world.la, { ...plan, start: '2025-02-01' });
  t.equal(before, undefined, 'it was set in between');
  const { version, labels } = await flagOf(id);
  t.equal(version, 2);
  t.equal(notifiedOn(labels, 'ends-soon'), '2030-01-01');
});

t.test('so does a confirmation', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(world.la, plan);
  const { type, revision, labels } = await flagOf(id);
  const unconfirmed = labels.filter((label) => label !== `confirmed:${confirmedOn(labels)}`);
  const guard = { type, id, expectRevision: revision, labels: unconfirmed };
  await real?.commit({ writes: [], guards: [guard], audits: [] });
  before = mark;
  await submit(world.la, plan);
  const after = await flagOf(id);
  t.equal(before, undefined);
  t.equal(after.version, 1);
  t.equal(notifiedOn(after.labels, 'ends-soon'), '2030-01-01');
  t.equal(confirmedOn(after.labels), confirmedOn(labels));
  await submit(world.la, plan);
  t.equal((await flagOf(id)).revision, after.revision, 'a second confirmation on the same day writes nothing');
});

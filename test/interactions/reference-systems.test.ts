/** The systems that the references of an authority may have, as the registry lists them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Flag, OperationOutcome, Parameters } from 'fhir/r4.js';
import t from 'tap';
import { londonDate } from '../../src/cpis/london-date.ts';
import { buildFlag } from '../../src/synthetic/synthetic-plan.ts';
import { amendRoutes, byReference, createRoutes } from '../support/plan-routes.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, ownId } = world;
const today = londonDate(Date.now());
const [oldSystem, newSystem] = ['https://la.example.org/plan', 'urn:oid:1.2.3.4'];

/** Lists the reference systems of the authority in the registry of the running server. */
function list(systems: readonly string[] | undefined): Promise<readonly string[]> {
  const file = join(world.folder, 'registry.json');
  const registry = JSON.parse(readFileSync(file, 'utf8'));
  for (const organisation of registry.organisations) {
    if (organisation.gssCode === ownId) organisation.referenceSystems = systems;
  }
  writeFileSync(file, JSON.stringify(registry));
  return world.server.reloadRegistry();
}

t.test('a system that is not listed is refused on each route, with the list', async (t) => {
  const plan = freshPlan({ referenceSystem: newSystem });
  const [id = ''] = await submit(la, plan);
  t.strictSame(await list([newSystem, 'https://la.example.org/other']), []);
  const refusal = [
    {
      code: 'business-rule',
      diagnostics: /urn:oid:1\.2\.3\.4, https:\/\/la\.example\.org\/other$/,
      expression: [/identifier\[0\]\.system$/],
    },
  ];
  const foreign = buildFlag(freshPlan({ nhsNumber: plan.nhsNumber, start: '2024-01-01', end: '2024-02-01' }));
  for (const { name, send } of createRoutes(la)) {
    const { status, issues } = await send(foreign);
    t.equal(status, 422, name);
    t.match(issues, refusal, name);
  }
  const changed = { ...buildFlag(plan), identifier: foreign.identifier ?? [] };
  for (const { name, send } of amendRoutes(la, ['identifier'])) {
    const { status, issues } = await send(id, buildFlag(plan), changed);
    t.equal(status, 422, name);
    t.match(issues, refusal, name);
  }
  const validated = await la.request<OperationOutcome>('POST', 'Flag/$validate', {
    resourceType: 'Parameters',
    parameter: [{ name: 'resource', resource: foreign }],
  } satisfies Parameters);
  t.match(validated.body.issue, refusal, '$validate');
  await submit(la, freshPlan({ referenceSystem: newSystem }));
  await submit(otherLa, freshPlan());
});

t.test(
  'a plan whose system is no longer listed is ended and withdrawn, and takes a reference of a listed one',
  async (t) => {
    t.strictSame(await list(undefined), []);
    const plans = [freshPlan(), freshPlan(), freshPlan(), freshPlan()] as const;
    const [endedId, withdrawnId, deletedId, keptId] = await submit(la, ...plans);
    t.strictSame(await list([newSystem]), []);
    const [ended, withdrawn, deleted, kept] = plans.map(buildFlag) as [Flag, Flag, Flag, Flag];
    const path = (flag: Flag): string => `Flag?${byReference(flag)}`;
    t.equal((await la.request('PUT', path(ended), ended)).status, 422, 'an unchanged submission');
    const end = { start: plans[0].start, end: today };
    const moved = { ...ended, identifier: [{ system: oldSystem, value: 'another' }], status: 'inactive', period: end };
    t.equal((await la.request('PUT', `Flag/${endedId}`, { ...moved, id: endedId })).status, 422, 'a further one');
    const answer = await la.request('PUT', path(ended), { ...ended, status: 'inactive', period: end });
    t.match(answer, { status: 200, body: { id: endedId, status: 'inactive' } });
    const error = await la.request('PUT', path(withdrawn), { ...withdrawn, status: 'entered-in-error' });
    t.match(error, { status: 200, body: { id: withdrawnId } });
    t.equal((await la.request('DELETE', path(deleted))).status, 204);
    t.equal((await la.request('GET', `Flag/${deletedId}`)).status, 410);
    const added = { system: newSystem, value: 'new-reference' };
    const both = { ...kept, identifier: [...(kept.identifier ?? []), added] };
    t.match(await la.request('PUT', path(kept), both), { status: 200, body: { id: keptId } });
    t.match(await la.request('PUT', path({ ...kept, identifier: [added] }), { ...kept, identifier: [added] }), {
      status: 200,
      body: { id: keptId },
    });
  },
);

t.test('the registry refuses a list that is empty or holds no system', async (t) => {
  for (const systems of [[], ['no system'], ['urn:a', 'urn:a'], ['https://la.example.org/a|b']]) {
    t.match(await list(systems), [/referenceSystems/], JSON.stringify(systems));
  }
});

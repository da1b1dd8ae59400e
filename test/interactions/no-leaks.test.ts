/** Text of an authority does not reach NHS staff, and secrets of a request do not reach the record. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEvent, Bundle, Flag } from 'fhir/r4.js';
import t from 'tap';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, epr } = world;

t.test('NHS staff are not shown what an authority writes into a plan', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient(plan));
  const flag: Flag = buildFlag(plan);
  const sent = {
    ...flag,
    meta: { source: 'urn:neglect-heroin', profile: ['urn:neglect-heroin'] },
    identifier: [{ ...flag.identifier?.[0], value: 'neglect-heroin' }],
  };
  const { status, body } = await la.request<Flag>('POST', 'Flag', sent, { prefer: 'return=representation' });
  t.equal(status, 201, JSON.stringify(body));
  t.match(JSON.stringify((await la.request('GET', `Flag/${body.id}`)).body), /neglect-heroin/, 'its authority sees it');
  for (const path of [
    `Flag?patient=${plan.nhsNumber}`,
    `Flag?patient=${plan.nhsNumber}&_elements=identifier`,
    `Flag/${body.id}`,
    `Patient/${plan.nhsNumber}`,
    `Patient/${plan.nhsNumber}/Flag`,
  ]) {
    const shown = await epr.request('GET', path);
    t.equal(shown.status, 200, path);
    t.notMatch(JSON.stringify(shown.body), /neglect|heroin/, path);
  }
  const entry = [{ request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } }];
  const batch = await epr.request('POST', '', { resourceType: 'Bundle', type: 'batch', entry });
  t.notMatch(JSON.stringify(batch.body), /neglect|heroin/, 'in a batch');
});

t.test('a secret in a request is in no AuditEvent, and nowhere in the store or the log', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient(plan));
  await la.request('POST', 'Flag', buildFlag(plan));
  const search = `Flag?patient=${plan.nhsNumber}`;
  await epr.request('GET', `${search}&access_token=s3cret-one`);
  await epr.request('GET', `${search}&access%5Ftoken=s3cret-two&_format=nonsense`);
  const url = `${world.server.baseUrl}/Flag`;
  await fetch(`${url}?patient=${plan.nhsNumber}&access_token=s3cret-three`);
  const authorization = `Bearer ${await epr.token()}`;
  await fetch(`${url}/_search`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
    body: `patient=${plan.nhsNumber}&client_assertion=s3cret-four`,
  });
  const entry = [{ request: { method: 'GET', url: `${search}&access_token=s3cret-five` } }];
  await epr.request('POST', '', { resourceType: 'Bundle', type: 'batch', entry });
  await la.request('GET', `${search}&access_token=s3cret-six`);
  await la.request('GET', `${search}&code=${'x'.repeat(9)}&Client_Secret=s3cret-seven`);
  const found = await la.request<Bundle>('GET', `AuditEvent?patient=${plan.nhsNumber}&action=E`);
  const queries = (found.body.entry ?? []).flatMap(({ resource }) =>
    ((resource as AuditEvent).entity ?? []).flatMap(({ query }) => Buffer.from(query ?? '', 'base64').toString() || []),
  );
  t.ok(queries.filter((query) => query.includes('[redacted]')).length >= 1, JSON.stringify(found.body).slice(0, 600));
  t.ok(queries.every((query) => query.includes(`patient=${plan.nhsNumber}`)));
  const files = ['store.sqlite', 'store.sqlite-wal'].map((name) => readFileSync(join(world.folder, 'data', name)));
  const secret = 's3cret-';
  for (const bytes of files) {
    t.notOk(bytes.includes(secret));
    for (const shift of [0, 1, 2]) {
      const inner = Buffer.from(`${'x'.repeat(shift)}${secret}`)
        .toString('base64')
        .slice(shift === 0 ? 0 : 4, -4);
      t.notOk(bytes.includes(inner), `in base64, shifted by ${shift}`);
    }
  }
  t.notMatch(world.log(), /s3cret/);
});

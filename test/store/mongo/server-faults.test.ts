import type { Bundle } from 'fhir/r4.js';
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import type { FhirClient, FhirResponse } from '../../../src/synthetic/fhir-client.ts';
import { openMongoServer, throughProxy } from '../../support/mongo-server.ts';
import { openWorld } from '../../support/running-server.ts';
import { freshPlan, resourcesOf, submit } from '../../support/submissions.ts';
import { openTcpProxy } from '../../support/tcp-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';

const server = await openMongoServer(t);

/** More than are let in at one time. */
const requests = 1_100;

/** A server that reaches its database by a proxy, and the look-up of a child that it knows. */
async function openBehindProxy(test: Test, timeoutMs: number) {
  const databaseUrl = server.newDatabaseUrl();
  const proxy = await openTcpProxy(test, Number(new URL(databaseUrl).port));
  const settings = {
    CPIS_MONGODB_URL: throughProxy(databaseUrl, proxy),
    CPIS_MONGODB_TIMEOUT_MS: String(timeoutMs),
    CPIS_MONGODB_DEADLINE_MS: String(timeoutMs),
  };
  const world = await openWorld(test, { settings });
  const [la] = world.authorities as [FhirClient];
  // One client alone reaches its own limit first.
  const eprs = world.careProviders as [FhirClient, FhirClient];
  const plan = freshPlan();
  await submit(la, plan);
  const lookUp = (at = 0) => (eprs[at % 2] as FhirClient).request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
  for (const at of eprs.keys()) test.equal((await lookUp(at)).status, 200);
  const ready = async () => (await fetch(`${world.server.origin}/health/ready`)).status;
  return { proxy, lookUp, ready, nhsNumber: plan.nhsNumber, databaseUrl };
}

type Answers = readonly FhirResponse<Bundle>[];

function isShedding(test: Test, answers: Answers, nhsNumber: string): void {
  const refused = answers.filter(({ status }) => status !== 200);
  test.ok(refused.every(({ status }) => status === 503));
  const shed = refused.filter(({ body }) => /limit of concurrent requests/.test(JSON.stringify(body)));
  test.ok(shed.length > 0, `${shed.length} were not let in`);
  test.ok(refused.every(({ headers }) => Number(headers.get('retry-after')) > 0));
  for (const { body } of refused) if (JSON.stringify(body).includes(nhsNumber)) test.fail('something is disclosed');
}

async function shedsWhileNothingIsAnswered(test: Test): Promise<void> {
  const { proxy, lookUp, ready, nhsNumber } = await openBehindProxy(test, 6_000);
  proxy.set('hold');
  const answers = await Promise.all(Array.from({ length: requests }, (_, at) => lookUp(at)));
  test.ok(answers.every(({ status }) => status === 503));
  isShedding(test, answers, nhsNumber);
  test.equal(await ready(), 503);
  proxy.set('cut');
  proxy.set('pass');
  await waitUntil('the server is ready', async () => (await ready()) === 200);
  test.equal(resourcesOf(await lookUp()).length, 1, 'well again without a restart');
}

/** The database answers all that it is asked, late. */
async function shedsWhileAnswersAreSlow(test: Test): Promise<void> {
  const { proxy, lookUp, ready, nhsNumber, databaseUrl } = await openBehindProxy(test, 20_000);
  const database = new MongoClient(databaseUrl);
  test.teardown(() => database.close());
  const audits = database.db().collection('audit');
  const before = await audits.countDocuments({ subtype: 'search-type' });
  proxy.set('slow');
  const answers = await Promise.all(Array.from({ length: requests }, (_, at) => lookUp(at)));
  isShedding(test, answers, nhsNumber);
  const answered = answers.filter(({ status }) => status === 200);
  test.ok(answered.length > 0, `${answered.length} were answered`);
  test.ok(answered.every((answer) => resourcesOf(answer).length === 1));
  test.equal(await ready(), 200, 'slow is not gone');
  proxy.set('pass');
  test.equal(resourcesOf(await lookUp()).length, 1);
  const written = (await audits.countDocuments({ subtype: 'search-type', outcome: '0' })) - before;
  test.ok(written >= answered.length, 'each answer has its AuditEvent');
}

await t.test(
  'a database that does not answer: requests above the limit get Retry-After, the rest 503 in bounded time',
  shedsWhileNothingIsAnswered,
);
await t.test(
  'a database that is slow: requests above the limit get Retry-After, the rest are answered',
  shedsWhileAnswersAreSlow,
);

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import type { Bundle } from 'fhir/r4.js';
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import type { FhirClient, FhirResponse } from '../../../src/synthetic/fhir-client.ts';
import { openRefusingMongo } from '../../support/fake-mongo.ts';
import { noMongoServer, noReplicaSet, openMongoServer } from '../../support/mongo-server.ts';
import { type OpenServer, onEachServer } from '../../support/mongo-servers.ts';
import { openWorld } from '../../support/running-server.ts';
import { makeServerHome, startServerProcess } from '../../support/server-process.ts';
import { freshPlan, resourcesOf, submit } from '../../support/submissions.ts';
import { openTcpProxy } from '../../support/tcp-proxy.ts';

const program = fileURLToPath(new URL('../../../bin/cpis.js', import.meta.url));
const standalone = { CPIS_MONGODB_DANGEROUSLY_ALLOW_STANDALONE: 'true', CPIS_MONGODB_TIMEOUT_MS: '2000' };

/** What `cpis serve` says when it ends at once. */
async function refusal(test: Test, url: string): Promise<{ code: number; output: string }> {
  const home = await makeServerHome({ settings: { CPIS_MONGODB_URL: url, ...standalone } });
  test.teardown(() => home.remove());
  const child = spawn(process.execPath, [program, 'serve'], { env: { ...process.env, ...home.settings } });
  test.teardown(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = await once(child, 'close');
  return { code, output };
}

async function refusesSecrets(test: Test): Promise<void> {
  const port = await openRefusingMongo(test);
  const { code, output } = await refusal(
    test,
    `mongodb://someone:s3cret@127.0.0.1:${port}/cpis?replicaSet=rs0&directConnection=true`,
  );
  test.equal(code, 2);
  test.match(output, /refuses the user name and password/);
  test.notMatch(output, /s3cret|someone|mongodb:\/\//);
}

async function verifiesTls(test: Test): Promise<void> {
  const mongo = await openMongoServer(test);
  const direct = new URL(mongo.newDatabaseUrl());
  const folder = mkdtempSync(join(tmpdir(), 'cpis-tls-'));
  test.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert];
  execFileSync('openssl', [...request, ...names], { stdio: 'ignore' });
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
    const outer = connect(Number(direct.port), '127.0.0.1');
    socket.on('error', () => outer.destroy()).on('close', () => outer.destroy());
    outer.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.pipe(outer).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = `mongodb://127.0.0.1:${address.port}${direct.pathname}?tls=true`;
  const unknown = await refusal(test, url);
  test.equal(unknown.code, 2);
  test.match(unknown.output, /TLS with MongoDB failed/);
  const plain = await refusal(test, `${direct.href}?tls=true`);
  test.equal(plain.code, 2);
  test.match(plain.output, /TLS with MongoDB failed|cannot be reached/);

  const home = await makeServerHome({
    settings: { ...standalone, CPIS_MONGODB_URL: `${url}&tlsCAFile=${encodeURIComponent(cert)}` },
  });
  test.teardown(() => home.remove());
  const running = await startServerProcess(home);
  test.equal(await running.stop(), 0, 'ready by a certificate that is known');
}

/** More than are let in at one time. */
const requests = 1_100;

/** A server that reaches its database by a proxy, and the look-up of a child that it knows. */
async function openBehindProxy(test: Test, open: OpenServer, timeoutMs: number) {
  const direct = new URL((await open(test)).newDatabaseUrl());
  const proxy = await openTcpProxy(test, Number(direct.port));
  const url = `mongodb://127.0.0.1:${proxy.port}${direct.pathname}`;
  const settings = { CPIS_MONGODB_URL: url, ...standalone, CPIS_MONGODB_TIMEOUT_MS: String(timeoutMs) };
  const world = await openWorld(test, { settings });
  const [la] = world.authorities as [FhirClient];
  const [epr] = world.careProviders as [FhirClient];
  const plan = freshPlan();
  await submit(la, plan);
  const lookUp = () => epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
  test.equal((await lookUp()).status, 200);
  const ready = async () => (await fetch(`${world.server.origin}/health/ready`)).status;
  return { proxy, lookUp, ready, nhsNumber: plan.nhsNumber, databaseUrl: direct.href };
}

type Answers = readonly FhirResponse<Bundle>[];

function isShedding(test: Test, answers: Answers, nhsNumber: string): void {
  const refused = answers.filter(({ status }) => status !== 200);
  test.ok(refused.every(({ status }) => status === 503));
  const shed = refused.filter(({ body }) => /too many requests/.test(JSON.stringify(body)));
  test.ok(shed.length > 0, `${shed.length} were not let in`);
  test.ok(refused.every(({ headers }) => Number(headers.get('retry-after')) > 0));
  for (const { body } of refused) if (JSON.stringify(body).includes(nhsNumber)) test.fail('something is disclosed');
}

async function shedsWhileNothingIsAnswered(test: Test, open: OpenServer): Promise<void> {
  const { proxy, lookUp, ready, nhsNumber } = await openBehindProxy(test, open, 6_000);
  proxy.set('hold');
  const answers = await Promise.all(Array.from({ length: requests }, lookUp));
  test.ok(answers.every(({ status }) => status === 503));
  isShedding(test, answers, nhsNumber);
  test.equal(await ready(), 503);
  proxy.set('cut');
  proxy.set('pass');
  for (let tries = 0; tries < 200 && (await ready()) !== 200; tries++) await sleep(100);
  test.equal(resourcesOf(await lookUp()).length, 1, 'well again without a restart');
}

/** The database answers all that it is asked, late. */
async function shedsWhileAnswersAreSlow(test: Test, open: OpenServer): Promise<void> {
  const { proxy, lookUp, ready, nhsNumber, databaseUrl } = await openBehindProxy(test, open, 20_000);
  const database = new MongoClient(databaseUrl);
  test.teardown(() => database.close());
  const audits = database.db().collection('audit');
  const before = await audits.countDocuments({ subtype: 'search-type' });
  proxy.set('slow');
  const answers = await Promise.all(Array.from({ length: requests }, lookUp));
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

const notGiven = 'these put something between the server and its database';

await onEachServer(
  t,
  async (on, open) => {
    await on.test(
      'a database that does not answer: what is too much is turned away with Retry-After, the rest in bounded time',
      (test) => shedsWhileNothingIsAnswered(test, open),
    );
    await on.test(
      'a database that is slow: what is too much is turned away with Retry-After, what is let in is answered',
      (test) => shedsWhileAnswersAreSlow(test, open),
    );
  },
  { notGiven },
);
if (noMongoServer === undefined && noReplicaSet !== undefined) {
  await t.test('a user name and password that are refused are told in words, with status 2', refusesSecrets);
  await t.test(
    'TLS: a certificate that is not known, and a server without TLS, are refused; a known one is taken',
    verifiesTls,
  );
}

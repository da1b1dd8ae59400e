/** I6 of the design, case 60 of the fault list: at log level trace, nothing that a client sent is in any log, metric or error text. */
import { createConnection } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildBatch, buildFlag, buildPatient, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openReceiver } from '../support/receiver.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { waitUntil } from '../support/wait-until.ts';

const nhsNumber = '9990000018';
const wrongNhsNumber = '9990000019';
const canaries = {
  nhsNumber,
  wrongNhsNumber,
  family: 'Zzcanaryfamily',
  given: 'Zzcanarygiven',
  professional: 'Zzcanarydoctor',
  reference: 'ZZCANARY-CASE',
  endpointSecret: 'zzcanary-endpoint-secret',
  endpointPath: 'zzcanary-endpoint-path',
  endpointAnswer: 'zzcanary-endpoint-answer',
  value: 'zzcanaryvalue',
  metricsToken: 'zzcanary-metrics-token',
};

const plan: SyntheticPlan = {
  nhsNumber,
  family: canaries.family,
  given: canaries.given,
  birthDate: '2019-05-06',
  kind: { code: '342191000000101', display: 'Subject to child protection plan' },
  start: '2026-02-03',
  reference: canaries.reference,
  referenceSystem: 'https://northmoor.example.org/cases',
};

/** Writes bytes as they are and gives what comes back until the server closes. */
function sendRaw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const connection = createConnection(port, '127.0.0.1', () => connection.write(bytes));
    let received = '';
    connection.on('data', (chunk) => {
      received += chunk.toString();
    });
    connection.on('error', () => undefined);
    connection.on('close', () => resolve(received));
    connection.setTimeout(60_000, () => connection.destroy());
  });
}

/** `expression` names the element or parameter that is wrong, in the sender's own words; nothing else may repeat it. */
function withoutExpression(text: string): string {
  return text.replaceAll(/"expression":\[[^\]]*\]/g, '');
}

t.test('I6: no canary in standard output, standard error, metrics, error texts or the outbox', async (t) => {
  const receiver = await openReceiver();
  t.teardown(() => receiver.close());
  receiver.behave({ kind: 'answer', status: 500, body: canaries.endpointAnswer });
  const home = await makeServerHome({
    subscriptionOrigins: [receiver.origin],
    settings: {
      CPIS_LOG_LEVEL: 'trace',
      CPIS_METRICS_TOKEN: canaries.metricsToken,
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      CPIS_BODY_LIMIT_BYTES: '65536',
    },
  });
  t.teardown(() => home.remove());
  const server = await startServerProcess(home);
  t.teardown(() => server.kill());

  const [la, otherLa] = home.registry.authorities;
  const [epr] = home.registry.careProviders;
  if (la === undefined || otherLa === undefined || epr?.iua === undefined)
    throw new Error('the registry lacks clients');
  const caseSystem = openFhirClient(home.baseUrl, la);
  const otherCaseSystem = openFhirClient(home.baseUrl, otherLa);
  const reader = openFhirClient(home.baseUrl, epr, { ...epr.iua, subject_name: canaries.professional });
  const operator = openFhirClient(home.baseUrl, home.registry.operator);
  const tokens = await Promise.all([caseSystem, otherCaseSystem, reader, operator].map((client) => client.token()));
  const secrets = [...Object.values(canaries), ...tokens, ...tokens.map((token) => token.split('.')[2] ?? token)];

  const errorTexts: string[] = [];
  async function ask(
    method: string,
    path: string,
    options: { token?: string; body?: string; headers?: Record<string, string> } = {},
  ): Promise<number> {
    const response = await fetch(path.startsWith('/') ? home.origin + path : `${home.baseUrl}/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${options.token ?? (await reader.token())}`,
        ...(options.body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: options.body }),
    });
    const text = await response.text();
    if (response.status >= 400) errorTexts.push(text);
    return response.status;
  }
  const [laToken = '', , , operatorToken = ''] = tokens;
  const flag = buildFlag(plan);
  const patient = buildPatient(plan);
  const value = canaries.value;

  t.equal((await caseSystem.request('POST', '', buildBatch([plan]))).status, 200);
  const subscribed = await caseSystem.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'told of accesses',
    criteria: `AuditEvent?patient=${nhsNumber}`,
    channel: {
      type: 'rest-hook',
      endpoint: `${receiver.origin}/${canaries.endpointPath}`,
      payload: 'application/fhir+json',
      header: [`X-Api-Key: ${canaries.endpointSecret}`],
    },
  });
  t.equal(subscribed.status, 201);
  t.equal(await ask('GET', `Flag?patient=${nhsNumber}`), 200);
  t.equal(await ask('GET', `Patient/${nhsNumber}`), 200);
  t.equal(await ask('GET', `AuditEvent?patient=${nhsNumber}`), 200);
  await receiver.waitFor(1);

  const refused: readonly (readonly [number, Promise<number>])[] = [
    [400, ask('GET', `Flag?patient=${wrongNhsNumber}`)],
    [400, ask('GET', `Flag?patient=${nhsNumber}&${value}=${value}`)],
    [400, ask('GET', `Flag?patient=${nhsNumber}&_sort=${value}`)],
    [400, ask('GET', `Flag?patient=${nhsNumber}&_cursor=${value}`)],
    [400, ask('GET', `Flag?patient=${nhsNumber}&date=${value}`)],
    [400, ask('GET', `Flag?patient=${nhsNumber}%00${value}`)],
    [400, ask('GET', `Flag?identifier=${canaries.reference}`)],
    [404, ask('GET', `Flag/${value}`)],
    [400, ask('GET', `Patient/${wrongNhsNumber}`)],
    [404, ask('GET', `${value}/${value}`)],
    [404, ask('GET', `/${value}/${nhsNumber}`)],
    [400, ask('PATCH', `Patient/${nhsNumber}`, { body: value })],
    [405, ask('DELETE', `Patient/${nhsNumber}`, { body: value })],
    [403, ask('GET', `Subscription/${value}`)],
    [403, ask('GET', `Flag?patient=${nhsNumber}`, { token: operatorToken })],
    [401, ask('GET', `Flag?patient=${nhsNumber}`, { token: `${value}.${value}.${value}` })],
    [401, ask('GET', `Flag?patient=${nhsNumber}`, { token: `${laToken}${value}` })],
    [401, ask('GET', '/metrics', { token: value })],
    [406, ask('GET', `Flag?patient=${nhsNumber}`, { headers: { accept: `text/${value}` } })],
    [400, ask('GET', `Flag?patient=${nhsNumber}`, { headers: { 'x-request-id': value } })],
    [400, ask('GET', `Flag?patient=${nhsNumber}`, { headers: { isunscheduledaccessevent: value } })],
    [400, ask('POST', 'Flag', { token: laToken, body: `{"${value}": ${nhsNumber}` })],
    [400, ask('POST', 'Flag', { token: laToken, body: `{"resourceType": "${value}"}` })],
    [400, ask('POST', '', { token: laToken, body: `{"resourceType": "Bundle", "type": "${value}"}` })],
    [413, ask('POST', 'Flag', { token: laToken, body: value.repeat(10_000) })],
    [415, ask('POST', 'Flag', { token: laToken, body: value, headers: { 'content-type': `text/${value}` } })],
    [422, ask('POST', 'Flag', { token: laToken, body: JSON.stringify({ ...flag, [value]: value }) })],
    [422, ask('POST', 'Flag', { token: laToken, body: JSON.stringify({ ...flag, status: value }) })],
    [422, ask('POST', 'Flag', { token: laToken, body: JSON.stringify({ ...flag, period: { start: value } }) })],
    [
      409,
      ask('PUT', `Patient/${nhsNumber}`, {
        token: laToken,
        body: JSON.stringify({ ...patient, id: nhsNumber, birthDate: '2018-01-01', name: [{ family: 'Other' }] }),
      }),
    ],
    [
      412,
      ask('PUT', `Patient/${nhsNumber}`, {
        token: laToken,
        body: JSON.stringify({ ...patient, id: nhsNumber }),
        headers: { 'if-match': 'W/"77"' },
      }),
    ],
    [
      400,
      ask('POST', '/oauth2/token', {
        body: `grant_type=${value}&client_assertion=${value}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      }),
    ],
  ];
  for (const [index, [wanted, answered]] of refused.entries()) {
    t.equal(await answered, wanted, `hostile request ${index + 1} is refused: ${wanted}`);
  }
  const port = Number(new URL(home.origin).port);
  const rawTexts = await Promise.all([
    sendRaw(port, `GET /FHIR/R4/Flag?patient=${nhsNumber} HTTP/9.9\r\n${value}\r\n\r\n`),
    sendRaw(port, `${value} ${nhsNumber}\r\n\r\n`),
    sendRaw(port, `GET /${value} HTTP/1.1\r\nHost: a\r\nX-${value}: ${value.repeat(10_000)}\r\n\r\n`),
    sendRaw(port, `POST /FHIR/R4/Flag HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n${value}`),
    sendRaw(
      port,
      `GET /FHIR/R4/Flag?patient=${nhsNumber}#${value} HTTP/1.1\r\nHost: ${value}\r\nConnection: close\r\n\r\n`,
    ),
  ]);
  errorTexts.push(...rawTexts.map((text) => text.slice(text.indexOf('\r\n\r\n'))));
  const db = new DatabaseSync(home.storeFile, { readOnly: true });
  const readOutbox = () => db.prepare('SELECT reason FROM delivery').all();
  await waitUntil('a notification failed, and the outbox says why', () => {
    return readOutbox().some(({ reason }) => reason !== null);
  });
  const outbox = readOutbox();
  db.close();

  const metrics = await fetch(`${home.origin}/metrics`, {
    headers: { authorization: `Bearer ${canaries.metricsToken}` },
  });
  t.equal(metrics.status, 200);
  const metricsText = await metrics.text();
  t.equal(await server.stop(), 0);
  const log = server.output();
  t.ok(log.split('\n').length > refused.length, 'every request was logged');
  const places = {
    log,
    metrics: metricsText,
    errors: errorTexts.map(withoutExpression).join('\n'),
    outbox: JSON.stringify(outbox),
  };
  for (const [place, text] of Object.entries(places)) {
    for (const secret of secrets) {
      if (text.toLowerCase().includes(secret.toLowerCase())) t.fail(`${place} holds a canary: ${secret}`);
    }
    t.notMatch(text, /\b999 ?\d{3} ?\d{4}\b/, `${place}: no NHS number`);
  }
});

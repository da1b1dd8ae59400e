import t from 'tap';
import { fault } from '../../src/fhir/fault.ts';
import { issueOf, startServer, token } from './start-server.ts';

const uuid = '4564a191-8217-4248-858b-16a9252377f7';
const authorization = { authorization: token };
const json = { ...authorization, 'content-type': 'application/fhir+json' };
const form = { ...authorization, 'content-type': 'application/x-www-form-urlencoded' };

t.test('each interaction reaches perform as a FHIR request', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const flag = { resourceType: 'Flag', status: 'active' };
  const cases: readonly [string, string, RequestInit, object][] = [
    ['GET', '/Flag/a-1', {}, { interaction: 'read', type: 'Flag', id: 'a-1', query: [], raw: 'GET Flag/a-1' }],
    [
      'GET',
      '/Flag/a-1/_history/2',
      {},
      { interaction: 'vread', type: 'Flag', id: 'a-1', versionId: '2', query: [], raw: 'GET Flag/a-1/_history/2' },
    ],
    [
      'GET',
      '/Flag?patient=9990000018&status=active&status=inactive&_format=json&x=a+b%26c',
      {},
      {
        interaction: 'search-type',
        type: 'Flag',
        query: [
          ['patient', '9990000018'],
          ['status', 'active'],
          ['status', 'inactive'],
          ['x', 'a b&c'],
        ],
        raw: 'GET Flag?patient=9990000018&status=active&status=inactive&_format=json&x=a+b%26c',
      },
    ],
    [
      'POST',
      '/Flag/_search?_count=5',
      { headers: form, body: 'patient=9990000018&status=active' },
      {
        interaction: 'search-type',
        type: 'Flag',
        query: [
          ['_count', '5'],
          ['patient', '9990000018'],
          ['status', 'active'],
        ],
        raw: 'POST Flag/_search?_count=5&patient=9990000018&status=active',
      },
    ],
    [
      'POST',
      '/Flag/_search?patient=9990000018',
      {},
      {
        interaction: 'search-type',
        type: 'Flag',
        query: [['patient', '9990000018']],
        raw: 'POST Flag/_search?patient=9990000018',
      },
    ],
    [
      'POST',
      '/Flag',
      { headers: { ...json, 'if-none-exist': 'identifier=a|b' }, body: JSON.stringify(flag) },
      {
        interaction: 'create',
        type: 'Flag',
        query: [],
        raw: 'POST Flag',
        body: flag,
        ifNoneExist: 'identifier=a|b',
      },
    ],
    [
      'PUT',
      '/Flag/a-1',
      { headers: { ...json, 'if-match': 'W/"2"' }, body: JSON.stringify(flag) },
      { interaction: 'update', type: 'Flag', id: 'a-1', query: [], raw: 'PUT Flag/a-1', body: flag, ifMatch: 'W/"2"' },
    ],
    [
      'PUT',
      '/Flag?identifier=a%7Cb',
      { headers: json, body: JSON.stringify(flag) },
      {
        interaction: 'update',
        type: 'Flag',
        query: [['identifier', 'a|b']],
        raw: 'PUT Flag?identifier=a%7Cb',
        body: flag,
      },
    ],
    ['DELETE', '/Flag/a-1', {}, { interaction: 'delete', type: 'Flag', id: 'a-1', query: [], raw: 'DELETE Flag/a-1' }],
    ...['batch', 'transaction'].map((type): [string, string, RequestInit, object] => [
      'POST',
      type === 'batch' ? '' : '/',
      { headers: json, body: JSON.stringify({ resourceType: 'Bundle', type }) },
      { interaction: type, query: [], raw: 'POST ', body: { resourceType: 'Bundle', type } },
    ]),
  ];
  for (const [method, path, init, expected] of cases) {
    const response = await fetch(server.url + path, { headers: authorization, ...init, method });
    t.equal(response.status, 200, `${method} ${path}`);
    const last = server.performed.pop();
    const said = Object.entries(last?.request ?? {}).filter(([, value]) => value !== undefined);
    t.strictSame(Object.fromEntries(said), expected, `${method} ${path}`);
    t.equal(last?.context.clientAddress, '127.0.0.1');
  }
  t.equal(server.refused.length, 0);
});

t.test('request headers are checked, and response headers set', async (t) => {
  const server = await startServer({
    answer: () => ({ kind: 'ok', body: '{"resourceType":"Flag"}', versionId: '7', lastUpdatedMs: 1_700_000_000_000 }),
  });
  t.teardown(server.close);
  const response = await fetch(`${server.url}/Flag/a`, {
    headers: {
      ...authorization,
      'X-Request-ID': uuid.toUpperCase(),
      'X-Correlation-ID': 'corr.1-2',
      IsUnscheduledAccessEvent: 'False',
      Prefer: 'respond-async, handling=strict; return=minimal, return=representation',
      Accept: 'text/html, application/fhir+json;fhirVersion=4.0;q=0.9',
    },
  });
  t.equal(response.status, 200);
  t.equal(await response.text(), '{"resourceType":"Flag"}', 'Prefer: return says nothing about reads');
  t.match(Object.fromEntries(response.headers), {
    etag: 'W/"7"',
    'last-modified': 'Tue, 14 Nov 2023 22:13:20 GMT',
    'cache-control': 'no-store',
    'content-type': 'application/fhir+json; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'",
    'x-request-id': uuid.toUpperCase(),
    'x-correlation-id': 'corr.1-2',
  });
  t.match(server.performed[0]?.context, {
    requestId: uuid.toUpperCase(),
    correlationId: 'corr.1-2',
    unscheduledAccess: false,
    handling: 'strict',
    preferReturn: 'minimal',
  });

  const bare = await fetch(`${server.url}/Flag/a`, { headers: authorization });
  t.match(bare.headers.get('x-request-id'), /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  t.equal(bare.headers.get('x-correlation-id'), null);
  const { context } = server.performed[1] ?? {};
  t.equal(context?.requestId, bare.headers.get('x-request-id'));
  t.same([context?.unscheduledAccess, context?.handling, context?.preferReturn], [undefined, undefined, undefined]);

  for (const [name, value] of [
    ['X-Request-ID', 'not-a-uuid'],
    ['X-Request-ID', `${uuid}0`],
    ['X-Request-ID', ''],
    ['X-Correlation-ID', 'a b'],
    ['X-Correlation-ID', 'x'.repeat(129)],
    ['IsUnscheduledAccessEvent', 'maybe'],
  ] as const) {
    const refused = await fetch(`${server.url}/Flag/a`, { headers: { ...authorization, [name]: value } });
    t.equal(refused.status, 400, `${name}: ${value}`);
    t.match(refused.headers.get('x-request-id'), /^[0-9a-f]{8}-/);
    const issue = await issueOf(refused);
    t.match(issue, { code: 'value', spine: 'INVALID_VALUE' });
    t.ok(issue.diagnostics.includes(name));
  }
  t.equal(server.performed.length, 2);
  t.equal(server.refused.length, 6);
  t.ok(server.refused.every((refusal) => refusal.caller?.clientId === 'epr-client'));
});

t.test('HEAD is answered like GET, without a body', async (t) => {
  const server = await startServer({ answer: () => ({ kind: 'ok', body: '{"a":"é"}', versionId: '1' }) });
  t.teardown(server.close);
  for (const path of ['/Flag/a', '/Flag?patient=1', '/Flag/a/_history/1', '/metadata']) {
    const get = await fetch(server.url + path, { headers: authorization });
    const head = await fetch(server.url + path, { method: 'HEAD', headers: authorization });
    t.equal(head.status, 200);
    t.equal(await head.text(), '');
    for (const name of ['etag', 'content-type', 'content-length'])
      t.equal(head.headers.get(name), get.headers.get(name));
  }
  t.equal(server.performed.length, 6, 'a HEAD is performed, and so audited, as a GET');
});

t.test('writes: status, Location, Prefer: return and warnings', async (t) => {
  const warnings = [{ severity: 'warning', code: 'business-rule', diagnostics: 'The name differs.' }] as const;
  const server = await startServer({
    answer: ({ interaction, id }) =>
      interaction === 'delete'
        ? { kind: 'deleted', versionId: '3' }
        : {
            kind: interaction === 'create' ? 'created' : 'ok',
            body: '{"resourceType":"Flag"}',
            versionId: '1',
            lastUpdatedMs: 0,
            location: 'Flag/new/_history/1',
            ...(id === 'warned' ? { warnings } : {}),
          },
  });
  t.teardown(server.close);
  const send = (method: string, path: string, prefer?: string) =>
    fetch(server.url + path, { method, headers: { ...json, ...(prefer ? { prefer } : {}) }, body: '{}' });

  const created = await send('POST', '/Flag');
  t.equal(created.status, 201);
  t.equal(created.headers.get('location'), 'https://cpis.example/FHIR/R4/Flag/new/_history/1');
  t.equal(created.headers.get('etag'), 'W/"1"');
  t.equal(await created.text(), '{"resourceType":"Flag"}');
  const minimal = await send('POST', '/Flag', 'return=minimal');
  t.equal(minimal.status, 201);
  t.equal(await minimal.text(), '');
  t.ok(minimal.headers.get('location'));
  t.match(await (await send('PUT', '/Flag/a', 'return=OperationOutcome')).json(), { resourceType: 'OperationOutcome' });
  t.equal(await (await send('PUT', '/Flag/warned', 'return=representation')).text(), '{"resourceType":"Flag"}');
  t.match(await issueOf(await send('PUT', '/Flag/warned')), {
    code: 'business-rule',
    diagnostics: 'The name differs.',
  });
  const deleted = await fetch(`${server.url}/Flag/a`, { method: 'DELETE', headers: authorization });
  t.equal(deleted.status, 204);
  t.equal(deleted.headers.get('etag'), 'W/"3"');
});

t.test('an interaction that is not listed has no route', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const cases: readonly [string, string, number, string | null][] = [
    ['GET', '/Patient/1', 404, null],
    ['GET', '/Nope?patient=9990000018', 404, null],
    ['GET', '/flag/1', 404, null],
    ['GET', '/__proto__/1', 404, null],
    ['GET', '/Flag/1/extra', 404, null],
    ['GET', '/Flag/1/_history', 404, null],
    ['GET', '/Flag/$export', 404, null],
    ['GET', '/Flag/_history', 404, null],
    ['GET', `/Flag/${'x'.repeat(65)}`, 400, null],
    ['GET', `/Flag/${'x'.repeat(300)}`, 400, null],
    ['GET', '/Flag/a%2Fb', 400, null],
    ['GET', '/Flag/a%00', 400, null],
    ['GET', '/Flag/', 404, null],
    ['DELETE', '/Flag/', 404, null],
    ['GET', '/Flag//_history/1', 404, null],
    ['DELETE', '/Organization/1', 405, 'GET, HEAD, OPTIONS'],
    ['PUT', '/Organization/1', 405, 'GET, HEAD, OPTIONS'],
    ['POST', '/Organization', 405, 'GET, HEAD, OPTIONS'],
    ['PATCH', '/Flag/1', 405, 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['PATCH', '/Flag', 405, 'POST, PUT, DELETE, GET, HEAD, OPTIONS'],
    ['PUT', '/Flag/_search', 405, 'POST, OPTIONS'],
    ['GET', '/Flag/_search', 405, 'POST, OPTIONS'],
    ['POST', '/metadata', 405, 'GET, HEAD, OPTIONS'],
    ['GET', '', 405, 'POST, OPTIONS'],
    ['GET', '/', 405, 'POST, OPTIONS'],
    ['GET', '?patient=9990000018', 405, 'POST, OPTIONS'],
    ['DELETE', '/', 405, 'POST, OPTIONS'],
  ];
  for (const [method, path, status, allow] of cases) {
    const body = ['PUT', 'POST'].includes(method) ? '{}' : null;
    const response = await fetch(server.url + path, { method, headers: body === null ? authorization : json, body });
    t.equal(response.status, status, `${method} ${path}`);
    t.equal(response.headers.get('allow'), allow, `${method} ${path}`);
    await issueOf(response);
  }
  for (const [path, allow] of [
    ['/Flag/1', 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['/Organization', 'GET, HEAD, OPTIONS'],
    ['', 'POST, OPTIONS'],
  ] as const) {
    const response = await fetch(server.url + path, { method: 'OPTIONS', headers: authorization });
    t.strictSame([response.status, response.headers.get('allow')], [200, allow], `OPTIONS ${path}`);
    t.match(await response.json(), { resourceType: 'OperationOutcome', issue: [{ severity: 'information' }] });
  }
  for (const [path, headers, status] of [
    ['/Flag/1', {}, 401],
    ['/Observation/1', authorization, 404],
  ] as const) {
    const response = await fetch(server.url + path, { method: 'OPTIONS', headers });
    t.strictSame([response.status, response.headers.get('allow')], [status, null], `OPTIONS ${path}`);
    await issueOf(response);
  }
  t.equal(server.performed.length, 0);
  const elsewhere = await fetch(`http://127.0.0.1:${server.port}/etc/passwd`);
  t.equal(elsewhere.status, 404);
  t.match(await issueOf(elsewhere), { code: 'not-found', spine: 'RESOURCE_NOT_FOUND' });

  const narrow = await startServer({ interactions: { types: { Flag: ['read'] }, system: [] } });
  t.teardown(narrow.close);
  t.equal((await fetch(`${narrow.url}/Flag`, { headers: authorization })).status, 404);
  t.equal((await fetch(narrow.url, { method: 'POST', headers: json, body: '{}' })).status, 404);
  t.equal((await fetch(`${narrow.url}/Flag/1`, { headers: authorization })).status, 200);
});

t.test('a request without a valid token is refused, and audited before it is answered', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  for (const path of ['/Flag?patient=9990000018', '/Flag/1', '/Nope', '']) {
    for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
      const response = await fetch(server.url + path, { headers });
      t.equal(response.status, 401, path);
      t.equal(response.headers.get('www-authenticate'), 'Bearer realm="cpis-fhir"');
      t.match(await issueOf(response), { code: 'login', spine: 'ACCESS_DENIED' });
    }
  }
  const upload = await fetch(server.url, {
    method: 'POST',
    headers: { 'content-type': 'application/fhir+json' },
    body: 'x'.repeat(2_000_000),
  });
  t.equal(upload.status, 401, 'the body of a stranger is not parsed');
  t.equal(server.refused.length, 9);
  t.match(server.refused[0], {
    fault: { category: 'login' },
    caller: undefined,
    interaction: 'search-type',
    type: 'Flag',
    raw: 'GET Flag?patient=9990000018',
    clientAddress: '127.0.0.1',
  });
  t.equal((await fetch(`${server.url}/metadata`)).status, 200);

  const failing = await startServer({ refusalAudit: async () => Promise.reject(new Error('disk full')) });
  t.teardown(failing.close);
  for (const response of [
    await fetch(`${failing.url}/Flag`),
    await fetch(`${failing.url}/Nope`, { headers: authorization }),
  ]) {
    t.equal(response.status, 503);
    t.ok(response.headers.get('retry-after'));
    t.match(await issueOf(response), { code: 'transient', spine: 'SERVICE_UNAVAILABLE' });
  }
  const slow = await startServer({
    authenticate: async (header) => {
      if (header === undefined) throw fault('transient', 'The keys of the issuer cannot be read.');
      throw fault('forbidden', 'This client has been revoked.');
    },
  });
  t.teardown(slow.close);
  t.equal((await fetch(`${slow.url}/Flag`)).status, 503);
  t.equal((await fetch(`${slow.url}/Flag`, { headers: authorization })).status, 403);
});

t.test('only JSON is served', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const status = async (path: string, init: RequestInit) =>
    (await fetch(server.url + path, { ...init, headers: { ...authorization, ...init.headers } })).status;

  for (const accept of [
    'application/fhir+json',
    'application/json',
    '*/*',
    'application/*',
    'application/fhir+json; fhirVersion=4.0',
    'application/fhir+json;charset=UTF-8',
    'application/xml, application/json;q=0.1',
  ]) {
    t.equal(await status('/Flag', { headers: { accept } }), 200, accept);
  }
  for (const accept of [
    'application/fhir+xml',
    'text/html',
    'text/turtle, application/xml',
    'application/fhir+json;q=0',
    'application/fhir+json; fhirVersion=5.0',
  ]) {
    t.equal(await status('/Flag', { headers: { accept } }), 406, accept);
    t.equal(await status('/metadata', { headers: { accept } }), 406, accept);
  }
  for (const format of ['json', 'application/json', 'application/fhir+json', 'application%2Ffhir%2Bjson']) {
    t.equal(await status(`/Flag?_format=${format}`, { headers: { accept: 'text/html' } }), 200, format);
  }
  for (const format of ['xml', 'application/fhir+xml', 'ttl', 'html', '']) {
    t.equal(await status(`/Flag?_format=${format}`, {}), 406, format);
    t.equal(await status(`/metadata?_format=${format}`, {}), 406, format);
  }
  const post = (contentType: string, more: Record<string, string> = {}) =>
    status('/Flag', { method: 'POST', headers: { 'content-type': contentType, ...more }, body: '{}' });
  for (const type of [
    'application/fhir+json',
    'application/json',
    'application/fhir+json; fhirVersion=4.0; charset=UTF-8',
    'Application/FHIR+JSON',
  ]) {
    t.equal(await post(type), 200, type);
  }
  for (const type of [
    'application/fhir+xml',
    'text/plain',
    'text/xml',
    'text/turtle',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
    'application/json-patch+json',
    'application/fhir+json; charset=utf-16',
    'application/fhir+json; fhirVersion=3.0',
    'nonsense',
  ]) {
    t.equal(await post(type), 415, type);
  }
  for (const encoding of ['gzip', 'br', 'deflate']) {
    t.equal(await post('application/fhir+json', { 'content-encoding': encoding }), 415, encoding);
  }
  t.equal(await status('/Flag/_search', { method: 'POST', headers: json, body: '{}' }), 415);
  t.equal(await status('/Flag', { method: 'POST', body: new Uint8Array([0x7b, 0x7d]) }), 415, 'no Content-Type');
  t.match(await issueOf(await fetch(server.url, { method: 'POST', headers: json, body: '{"resourceType":"Flag"}' })), {
    code: 'structure',
  });
  t.match(
    await issueOf(
      await fetch(server.url, { method: 'POST', headers: json, body: '{"resourceType":"Bundle","type":"history"}' }),
    ),
    { code: 'value', diagnostics: 'Bundle.type must be one of: batch, transaction.' },
  );
});

t.test('token endpoint, discovery, health and metrics', async (t) => {
  let ready = true;
  const server = await startServer({ isReady: () => ready });
  t.teardown(server.close);
  const root = `http://127.0.0.1:${server.port}`;
  const post = (body: string, contentType = 'application/x-www-form-urlencoded') =>
    fetch(`${root}/oauth2/token`, { method: 'POST', headers: { 'content-type': contentType }, body });

  const issued = await post('grant_type=client_credentials&scope=system%2FFlag.rs+system%2FPatient.r');
  t.equal(issued.status, 200);
  t.equal(issued.headers.get('cache-control'), 'no-store');
  t.equal(issued.headers.get('pragma'), 'no-cache');
  t.equal(issued.headers.get('x-token'), 'yes');
  t.strictSame(await issued.json(), {
    form: [
      ['grant_type', 'client_credentials'],
      ['scope', 'system/Flag.rs system/Patient.r'],
    ],
  });
  for (const [response, status] of [
    [await post('scope=a&scope=b'), 400],
    [await post('scope=%ff'), 400],
    [await post('__proto__=1'), 400],
    [await post('{}', 'application/json'), 415],
    [await post(`a=${'x'.repeat(40_000)}`), 413],
  ] as const) {
    t.equal(response.status, status);
    t.match(await response.json(), { error: 'invalid_request' });
  }
  for (const path of ['/.well-known/smart-configuration', '/FHIR/R4/.well-known/smart-configuration']) {
    t.match(await (await fetch(root + path)).json(), { token_endpoint: /^https/ });
  }
  t.strictSame(await (await fetch(`${root}/.well-known/jwks.json`)).json(), { keys: [] });
  const metadata = await fetch(`${server.url}/metadata`);
  t.equal(metadata.headers.get('content-type'), 'application/fhir+json; charset=utf-8');
  t.equal(await metadata.text(), '{"resourceType":"CapabilityStatement"}');

  t.equal((await fetch(`${root}/health/live`)).status, 200);
  t.equal((await fetch(`${root}/health/ready`)).status, 200);
  ready = false;
  t.equal((await fetch(`${root}/health/ready`)).status, 503);
  t.equal((await fetch(`${root}/health/live`)).status, 200);

  await fetch(`${server.url}/Flag?patient=9990000018`, { headers: authorization });
  t.equal((await fetch(`${root}/metrics`)).status, 401);
  t.equal((await fetch(`${root}/metrics`, { headers: { authorization: 'Bearer of-a-client' } })).status, 403);
  const metrics = await (await fetch(`${root}/metrics`, { headers: authorization })).text();
  t.match(metrics, /http_request_duration_seconds_count\{route="\/Flag",method="GET",status="2xx"\} 1/);
  t.match(metrics, /process_cpu_user_seconds_total/);
  t.notMatch(metrics, /9990000018/);
  t.equal(server.refused.length, 0, 'none of these is a FHIR request');
});

t.test('an error that is not a fault discloses nothing', async (t) => {
  const server = await startServer({
    answer: () => {
      throw new TypeError('cannot read 9990000018 of JONES', { cause: new Error('and 9990000018 again') });
    },
  });
  t.teardown(server.close);
  const response = await fetch(`${server.url}/Flag?patient=9990000018`, { headers: authorization });
  t.equal(response.status, 500);
  const text = await response.text();
  t.match(JSON.parse(text), { issue: [{ code: 'exception', details: { coding: [{ code: 'SERVER_ERROR' }] } }] });
  t.notMatch(text, /9990000018|JONES|TypeError| at /);
  const log = server.log.join('');
  t.match(log, /"name":"TypeError"/);
  t.match(log, /start-server\.ts|server\.test\.ts/, 'the frames are there');
  t.ok(log.includes(response.headers.get('x-request-id') ?? 'none'));
  t.notMatch(log, /9990000018|JONES/);
  t.equal(server.refused.length, 0, 'perform audits its own failures');
});

/** https://hl7.org/fhir/R4/http.html: what holds for every interaction. */
import { buildFlag } from '../../../src/synthetic/synthetic-plan.ts';
import { daysFromNow, endedPlan, freshPlan, kindOf, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa, asEpr, asNobody } = world;
const plan = freshPlan();
const [flagId = ''] = await submit(la, plan);

conforms(
  `${spec}/http.html#mime-type`,
  'JSON is application/fhir+json in UTF-8, whichever way it is asked for',
  async (t) => {
    for (const accept of [
      'application/fhir+json',
      'application/json',
      '*/*',
      'application/fhir+json; fhirVersion=4.0',
    ]) {
      const { status, headers } = await asLa('GET', `Flag/${flagId}`, { headers: { accept } });
      t.equal(status, 200, accept);
      const version = accept.includes('fhirVersion') ? '; fhirVersion=4.0' : '';
      t.equal(headers.get('content-type'), `application/fhir+json; charset=utf-8${version}`);
    }
    for (const format of ['json', 'application/json', 'application/fhir%2Bjson']) {
      const { status } = await asLa('GET', `Flag/${flagId}?_format=${format}`, { headers: { accept: 'text/html' } });
      t.equal(status, 200, `_format=${format} goes before Accept`);
    }
  },
);

conforms(`${spec}/http.html#mime-type`, 'what cannot be answered in is 406, what cannot be read is 415', async (t) => {
  for (const accept of ['application/fhir+xml', 'text/turtle', 'application/fhir+json; fhirVersion=3.0']) {
    t.match(await asLa('GET', `Flag/${flagId}`, { headers: { accept } }), {
      status: 406,
      json: { resourceType: 'OperationOutcome' },
    });
  }
  t.equal((await asLa('GET', `Flag/${flagId}?_format=xml`)).status, 406);
  for (const type of ['application/fhir+xml', 'text/plain', 'application/fhir+json; fhirVersion=3.0']) {
    const refused = await asLa('POST', 'Flag', { headers: { 'content-type': type }, body: '<Flag/>' });
    t.match(refused, { status: 415, json: { resourceType: 'OperationOutcome' } }, type);
  }
});

conforms(`${spec}/http.html#version-parameter`, 'a body that says fhirVersion=4.0 is taken', async (t) => {
  const answer = await asLa('POST', 'Flag', {
    headers: { 'content-type': 'application/fhir+json; fhirVersion=4.0' },
    body: buildFlag({ ...plan, kind: kindOf('LAC'), start: daysFromNow(-10), reference: 'fhir-version' }),
  });
  t.equal(answer.status, 201);
});

conforms(`${spec}/http.html#general`, 'HEAD answers the headers of GET and no body', async (t) => {
  for (const path of [`Flag/${flagId}`, `Flag?_id=${flagId}`, 'metadata']) {
    const [get, head] = [await asLa('GET', path), await asLa('HEAD', path)];
    t.equal(head.status, get.status, path);
    t.equal(head.text, '');
    for (const name of ['content-type', 'etag', 'last-modified']) {
      t.equal(head.headers.get(name), get.headers.get(name), `${path}: ${name}`);
    }
  }
});

conforms(
  `${spec}/http.html#general`,
  'an unknown type is 404, a method that is not served 405 with Allow, with an outcome',
  async (t) => {
    for (const path of ['Observation', 'Observation/1', 'flag', `Flag/${flagId}/nothing`]) {
      t.match(await asLa('GET', path), { status: 404, json: { resourceType: 'OperationOutcome' } }, path);
    }
    const refused = await asLa('DELETE', 'metadata');
    t.match(refused, { status: 405, json: { resourceType: 'OperationOutcome', issue: [{ code: 'not-supported' }] } });
    t.match(refused.headers.get('allow'), /GET/);
    for (const [method, path, allow] of [
      ['GET', 'Flag/_search', 'POST, OPTIONS'],
      ['PUT', 'Flag/$validate', 'POST, OPTIONS'],
      ['DELETE', 'Flag/_history', 'GET, HEAD, OPTIONS'],
      ['POST', `Flag/${flagId}/_history`, 'GET, HEAD, OPTIONS'],
    ] as const) {
      const { status, headers } = await asLa(method, path, method === 'PUT' ? { body: {} } : {});
      t.strictSame([status, headers.get('allow')], [405, allow], `${method} ${path}`);
    }
    for (const path of ['Flag/_nothing', 'Flag/$nothing', 'Flag/', 'Patient/$nothing/Flag', 'Flag/_nothing/_history']) {
      for (const method of ['GET', 'OPTIONS']) t.match(await asLa(method, path), { status: 404 }, `${method} ${path}`);
    }
  },
);

conforms(
  `${spec}/operationoutcome.html`,
  'every refusal is an OperationOutcome with severity, code and where it is',
  async (t) => {
    const refusals = [
      await asNobody('GET', `Flag/${flagId}`),
      await asLa('GET', 'Flag/unknown'),
      await asLa('GET', 'Flag/a_b'),
      await asLa('GET', 'Flag?nothing=1', { headers: { prefer: 'handling=strict' } }),
      await asLa('POST', 'Flag', { body: '{' }),
      await asLa('POST', 'Flag', { body: { resourceType: 'Flag' } }),
      await asLa('PUT', `Flag/${flagId}`, { body: buildFlag(plan), headers: { 'if-match': 'W/"9"' } }),
      await asEpr('POST', 'Flag', { body: buildFlag(plan) }),
    ];
    t.strictSame(
      refusals.map(({ status }) => status),
      [401, 404, 400, 400, 400, 422, 412, 403],
    );
    for (const { json } of refusals) {
      t.match(json, {
        resourceType: 'OperationOutcome',
        issue: [{ severity: 'error', code: String, diagnostics: String }],
      });
    }
    t.match(refusals[5]?.json.issue, [{ code: 'required', expression: [/^Flag\./] }]);
  },
);

conforms(
  `${spec}/security.html#http`,
  'without a token 401 with WWW-Authenticate; metadata and discovery are open',
  async (t) => {
    const refused = await asNobody('GET', `Flag/${flagId}`);
    t.equal(refused.status, 401);
    t.match(refused.headers.get('www-authenticate'), /^Bearer/);
    t.equal((await asNobody('GET', 'metadata')).status, 200);
    t.equal((await asNobody('GET', '.well-known/smart-configuration')).status, 200);
  },
);

conforms(`${spec}/http.html#read`, 'a resource comes with its version as weak ETag, and Last-Modified', async (t) => {
  const { headers, json } = await asLa('GET', `Flag/${flagId}`);
  t.equal(headers.get('etag'), `W/"${json.meta.versionId}"`);
  t.equal(headers.get('last-modified'), new Date(json.meta.lastUpdated).toUTCString());
});

conforms(
  `${spec}/http.html`,
  'X-Request-Id is echoed, and made where it is missing; X-Correlation-Id is echoed',
  async (t) => {
    const id = '0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a59';
    const named = await asLa('GET', `Flag/${flagId}`, { headers: { 'x-request-id': id, 'x-correlation-id': 'abc-1' } });
    t.equal(named.headers.get('x-request-id'), id);
    t.equal(named.headers.get('x-correlation-id'), 'abc-1');
    t.match((await asLa('GET', `Flag/${flagId}`)).headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
    t.match((await asLa('GET', 'Flag/unknown')).headers.get('x-request-id'), /^[0-9a-f-]{36}$/, 'of a refusal too');
  },
);

conforms(`${spec}/http.html#ops`, 'Prefer: return says what a write answers with', async (t) => {
  const bodies = [1, 2, 3].map((place) =>
    buildFlag(endedPlan(place, { nhsNumber: plan.nhsNumber, kind: kindOf('LAC') })),
  );
  const write = (prefer: string) => asLa('POST', 'Flag', { body: bodies.pop(), headers: { prefer } });
  t.match(await write('return=representation'), { status: 201, json: { resourceType: 'Flag' } });
  t.match(await write('return=OperationOutcome'), { status: 201, json: { resourceType: 'OperationOutcome' } });
  const minimal = await write('return=minimal');
  t.match(minimal, { status: 201, text: '' });
  t.match(minimal.headers.get('location'), /\/Flag\/[^/]+\/_history\/1$/);
  t.equal(minimal.headers.get('etag'), 'W/"1"');
});

conforms(`${spec}/http.html`, 'answers are not kept by caches', async (t) => {
  for (const path of [`Flag/${flagId}`, 'Flag/unknown', 'metadata']) {
    t.equal((await asLa('GET', path)).headers.get('cache-control'), 'no-store', path);
  }
});

conforms(`${spec}/http.html#parameters`, '_pretty lays the JSON out and changes nothing of it', async (t) => {
  const [plain, pretty] = [await asLa('GET', `Flag/${flagId}`), await asLa('GET', `Flag/${flagId}?_pretty=true`)];
  t.strictSame(pretty.json, plain.json);
  t.match(pretty.text, /\n +"/);
  t.notMatch(plain.text, /\n/);
});

conforms(`${spec}/http.html#general`, 'OPTIONS answers the methods of a path', async (t) => {
  const { status, headers } = await asLa('OPTIONS', `Flag/${flagId}`);
  t.equal(status, 200);
  t.match(headers.get('allow'), /GET.*PUT|PUT.*GET/);
});

/** https://hl7.org/fhir/R4/search.html */
import { freshPlan, kindOf, submit } from '../../support/submissions.ts';
import { conforms, openConformanceWorld, type RawResponse, type Send } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4/search.html';
const world = await openConformanceWorld();
const { la, asLa, asEpr, asOtherLa } = world;

const open = freshPlan({ start: '2025-03-10', family: 'Ünderhill', given: 'Ada' });
const ended = freshPlan({ start: '2025-01-31', end: '2025-12-31', kind: kindOf('LAC'), birthDate: '2016-02-29' });
const [openId = '', endedId = ''] = await submit(la, open, ended);
const mine = `_id=${openId},${endedId}`;

/** The ids of the matches, sorted. */
const idsOf = ({ json }: RawResponse): string[] =>
  (json.entry ?? [])
    .filter((entry: { search: { mode: string } }) => entry.search.mode === 'match')
    .map((entry: { resource: { id: string } }) => entry.resource.id)
    .sort();
const both = [openId, endedId].sort();
const find = async (query: string, send: Send = asLa): Promise<string[]> => idsOf(await send('GET', query));
const system = encodeURIComponent(open.referenceSystem);

conforms(
  `${spec}#Introduction`,
  'a search answers a searchset with self link, total, fullUrl and search.mode',
  async (t) => {
    const { status, json } = await asLa('GET', `Flag?${mine}`);
    t.equal(status, 200);
    t.match(json, {
      resourceType: 'Bundle',
      type: 'searchset',
      total: 2,
      link: [{ relation: 'self', url: /Flag\?_id=/ }],
    });
    for (const entry of json.entry) {
      t.equal(entry.fullUrl, `${world.server.baseUrl}/Flag/${entry.resource.id}`);
      t.equal(entry.search.mode, 'match');
    }
    t.match(await asLa('GET', 'Flag?_id=no-such-flag'), { status: 200, json: { total: 0, entry: undefined } });
  },
);

conforms(
  `${spec}#Introduction`,
  'GET and POST _search, with parameters in the URL or the form, are the same',
  async (t) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    t.strictSame(idsOf(await asLa('POST', 'Flag/_search', { body: mine, headers })), both);
    t.strictSame(idsOf(await asLa('POST', `Flag/_search?${mine}`, { body: 'status=active', headers })), [openId]);
  },
);

conforms(`${spec}#errors`, 'an unknown parameter is reported, or refused under Prefer: handling=strict', async (t) => {
  const lenient = await asLa('GET', `Flag?${mine}&nothing=1`);
  t.equal(lenient.status, 200);
  t.notMatch(lenient.json.link[0].url, 'nothing', 'it is not in self');
  t.ok(lenient.json.entry.some((entry: { search: { mode: string } }) => entry.search.mode === 'outcome'));
  const strict = await asLa('GET', `Flag?${mine}&nothing=1`, { headers: { prefer: 'handling=strict' } });
  t.match(strict, { status: 400, json: { issue: [{ severity: 'error' }] } });
  for (const bad of ['date=yesterday', 'status:nothing=active', '_sort=nothing', '_count=-1', 'date=xx2020']) {
    t.equal((await asLa('GET', `Flag?${bad}`)).status, 400, bad);
  }
});

conforms(
  `${spec}#token`,
  'token: code, system|code, |code, system|; :not; several values; several parameters',
  async (t) => {
    t.strictSame(await find(`Flag?${mine}&status=active`), [openId]);
    t.strictSame(await find(`Flag?${mine}&status=active,inactive`), both);
    t.strictSame(await find(`Flag?${mine}&status:not=active`), [endedId]);
    t.strictSame(await find(`Flag?${mine}&code=http://snomed.info/sct|764841000000100`), [endedId]);
    t.strictSame(await find(`Flag?${mine}&code=|764841000000100`), [], 'no system');
    t.strictSame(await find(`Flag?${mine}&code=http://snomed.info/sct|`), both);
    t.strictSame(await find(`Flag?${mine}&identifier=${system}|${open.reference}`), [openId]);
    t.strictSame(await find(`Flag?${mine}&identifier=${open.reference}&status=inactive`), [], 'both must hold');
  },
);

conforms(
  `${spec}#reference`,
  'reference: id, Type/id, absolute, :Type, :identifier; a version is refused',
  async (t) => {
    const { nhsNumber } = open;
    for (const query of [
      `patient=${nhsNumber}`,
      `patient=Patient/${nhsNumber}`,
      `patient=${encodeURIComponent(`${world.server.baseUrl}/Patient/${nhsNumber}`)}`,
      `subject:Patient=${nhsNumber}`,
      `patient:identifier=https://fhir.nhs.uk/Id/nhs-number|${nhsNumber}`,
      `patient.identifier=https://fhir.nhs.uk/Id/nhs-number|${nhsNumber}`,
    ]) {
      t.strictSame(await find(`Flag?${query}`), [openId], query);
    }
    t.equal((await asLa('GET', `Flag?patient=Patient/${nhsNumber}/_history/1`)).status, 400);
  },
);

conforms(`${spec}#date`, 'date: prefixes and precisions, against periods that may be open', async (t) => {
  const cases: [string, string[]][] = [
    ['2025-01-31', [endedId]],
    ['eq2025', [endedId]],
    ['ge2025-03-10', both],
    ['gt2026-06', [openId]],
    ['lt2025-02', [endedId]],
    ['le2025-03-10', both],
    ['sa2025-02', [openId]],
    ['eb2026', [endedId]],
    ['ne2025', [openId]],
  ];
  for (const [value, expected] of cases) {
    const found = await find(`Flag?${mine}&date=${value}`);
    if (value === '2025-01-31') t.strictSame(found, [], 'a period is not within a day of it');
    else t.strictSame(found, [...expected].sort(), value);
  }
});

conforms(`${spec}#string`, 'string: starts with, case and accents folded; :exact, :contains', async (t) => {
  const find1 = async (query: string) => (await find(`Patient?${query}`)).includes(open.nhsNumber);
  t.equal(await find1('family=under'), true);
  t.equal(await find1('family=HILL'), false);
  t.equal(await find1('family:contains=hill'), true);
  t.equal(await find1(`family:exact=${encodeURIComponent('Ünderhill')}`), true);
  t.equal(await find1('family:exact=Underhill'), false);
});

conforms(`${spec}#uri`, 'uri: the whole of it', async (t) => {
  t.match(await asLa('GET', 'Subscription?url=https://nobody.example/x'), { status: 200, json: { total: 0 } });
});

conforms(`${spec}#modifiers`, ':missing tells those that have it from those that do not', async (t) => {
  t.strictSame(await find(`Flag?${mine}&author:missing=false`), both);
  t.strictSame(await find(`Flag?${mine}&author:missing=true`), []);
});

conforms(`${spec}#escaping`, 'escapes: a comma or bar of the value itself', async (t) => {
  const odd = freshPlan({ reference: 'a,b|c$d' });
  const [id = ''] = await submit(la, odd);
  t.strictSame(await find(`Flag?identifier=${system}|${encodeURIComponent('a\\,b\\|c\\$d')}`), [id]);
});

conforms(`${spec}#lastUpdated`, '_id and _lastUpdated', async (t) => {
  t.strictSame(await find(`Flag?${mine}&_lastUpdated=ge2020-01-01`), both);
  t.strictSame(await find(`Flag?${mine}&_lastUpdated=lt2020-01-01`), []);
  t.strictSame(await find(`Patient?_id=${open.nhsNumber}`), [open.nhsNumber]);
});

conforms(`${spec}#chaining`, 'chains: author.identifier, patient:Patient.identifier', async (t) => {
  const { json } = await asLa('GET', `Flag/${openId}`);
  const organization = (await asLa('GET', json.author.reference)).json;
  const [{ system: codeSystem, value }] = organization.identifier;
  t.strictSame(await find(`Flag?${mine}&author.identifier=${encodeURIComponent(`${codeSystem}|${value}`)}`), both);
  t.strictSame(await find(`Flag?${mine}&author.identifier=nobody`), []);
  t.strictSame(await find(`Flag?patient:Patient.identifier=https://fhir.nhs.uk/Id/nhs-number|${open.nhsNumber}`), [
    openId,
  ]);
});

conforms(
  `${spec}#include`,
  '_include: the included resource stands beside the matches, with mode include, once',
  async (t) => {
    const { json } = await asLa('GET', `Flag?${mine}&_include=Flag:author`);
    const included = json.entry.filter((entry: { search: { mode: string } }) => entry.search.mode === 'include');
    t.equal(included.length, 1);
    t.equal(included[0].resource.resourceType, 'Organization');
    t.equal(json.total, 2, 'included resources are not counted');
  },
);

conforms(`${spec}#sort`, '_sort: ascending, descending, several keys', async (t) => {
  const order = async (sort: string) =>
    (await asLa('GET', `Flag?${mine}&_sort=${sort}`)).json.entry.map((entry: { resource: { id: string } }) => {
      return entry.resource.id;
    });
  t.strictSame(await order('date'), [endedId, openId]);
  t.strictSame(await order('-date'), [openId, endedId]);
  t.strictSame(await order('status,date'), [openId, endedId]);
});

conforms(
  `${spec}#count`,
  '_count bounds a page; next leads on, without repeating or missing one; it is clamped',
  async (t) => {
    const first = await asLa('GET', `Flag?${mine}&_count=1`);
    t.equal(first.json.entry.length, 1);
    t.equal(first.json.total, 2);
    const linkOf = ({ json }: RawResponse, relation: string): string | undefined =>
      json.link.find((link: { relation: string }) => link.relation === relation)?.url;
    const next = linkOf(first, 'next') ?? '';
    const second = await asLa('GET', next.slice(world.server.baseUrl.length + 1));
    t.strictSame([...idsOf(first), ...idsOf(second)].sort(), both);
    t.equal(linkOf(second, 'next'), undefined);
    t.match(linkOf(await asLa('GET', `Flag?${mine}&_count=100000`), 'self'), /_count=\d{1,4}(&|$)/);
    t.match((await asLa('GET', `Flag?${mine}&_count=0`)).json, { total: 2, entry: undefined });
  },
);

conforms(
  `https://hl7.org/fhir/R4/http.html#paging`,
  "a cursor that was changed is 400, another client's 403",
  async (t) => {
    const { json } = await asLa('GET', `Flag?${mine}&_count=1`);
    const next = json.link.find((link: { relation: string }) => link.relation === 'next').url;
    const path = next.slice(world.server.baseUrl.length + 1);
    t.equal((await asOtherLa('GET', path)).status, 403);
    t.equal((await asLa('GET', path.replace(/_cursor=.{6}/, '_cursor=AAAAAA'))).status, 400);
  },
);

conforms(`${spec}#summary`, '_summary=count answers the number and no resource', async (t) => {
  t.match((await asLa('GET', `Flag?${mine}&_summary=count`)).json, { total: 2, entry: undefined });
});

conforms(`${spec}#total`, '_total=none, estimate, accurate', async (t) => {
  t.equal((await asLa('GET', `Flag?${mine}&_total=accurate`)).json.total, 2);
  t.equal((await asLa('GET', `Flag?${mine}&_total=estimate`)).json.total, 2);
  t.notOk('total' in (await asLa('GET', `Flag?${mine}&_total=none`)).json);
  t.equal((await asLa('GET', `Flag?${mine}&_total=none&_summary=count`)).json.total, 2, 'a count is what is asked for');
  t.equal((await asLa('GET', `Flag?${mine}&_total=some`)).status, 400);
});

conforms(`${spec}#Introduction`, '_text, _content, _query, _filter are refused by name', async (t) => {
  for (const name of ['_text', '_content', '_query', '_filter']) {
    t.match(await asLa('GET', `Flag?${name}=x`), { status: 400, json: { issue: [{ code: 'not-supported' }] } }, name);
  }
});

conforms(`${spec}#Introduction`, 'a search shows nothing that its client may not read', async (t) => {
  t.strictSame(await find(`Flag?${mine}`, asOtherLa), []);
  t.match((await asOtherLa('GET', `Flag?${mine}`)).json, { total: 0 });
  t.strictSame(await find(`Flag?patient=${open.nhsNumber}`, asEpr), [openId]);
  t.equal((await asEpr('GET', 'Flag')).status, 400, 'a care provider names a patient');
});

import { test } from 'tap';
import { renderSearchset, renderSelfLink } from '../../../src/fhir/bundle/searchset.ts';

test('a searchset is the Bundle that it says, bodies untouched', async (t) => {
  const body = '{"resourceType":"Flag","id":"f1","number":1.00}';
  const text = renderSearchset({
    id: 'b1',
    lastUpdatedMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    total: 2,
    links: [
      { relation: 'self', url: 'https://a/Flag?x="y"' },
      { relation: 'next', url: 'https://a/Flag?_cursor=z' },
    ],
    entries: [
      { fullUrl: 'https://a/Flag/f1', body, mode: 'match' },
      { fullUrl: 'https://a/Organization/o"1', body: '{"resourceType":"Organization"}', mode: 'include' },
      { body: '{"resourceType":"OperationOutcome"}', mode: 'outcome' },
    ],
  });
  t.ok(text.includes(body), 'verbatim');
  t.strictSame(JSON.parse(text), {
    resourceType: 'Bundle',
    id: 'b1',
    meta: { lastUpdated: '2026-01-02T03:04:05.006Z' },
    type: 'searchset',
    total: 2,
    link: [
      { relation: 'self', url: 'https://a/Flag?x="y"' },
      { relation: 'next', url: 'https://a/Flag?_cursor=z' },
    ],
    entry: [
      { fullUrl: 'https://a/Flag/f1', resource: JSON.parse(body), search: { mode: 'match' } },
      {
        fullUrl: 'https://a/Organization/o"1',
        resource: { resourceType: 'Organization' },
        search: { mode: 'include' },
      },
      { resource: { resourceType: 'OperationOutcome' }, search: { mode: 'outcome' } },
    ],
  });
  t.equal(renderSearchset({ links: [], entries: [] }), '{"resourceType":"Bundle","type":"searchset"}');
  t.equal(
    renderSearchset({ total: 0, links: [], entries: [] }),
    '{"resourceType":"Bundle","type":"searchset","total":0}',
  );
});

test('a self link says the search again', async (t) => {
  const applied = [
    ['patient:identifier', 'https://fhir.nhs.uk/Id/nhs-number|9990000018'],
    ['code', 'a\\,b,c&d=e+f #%2C'],
    ['family', 'Zoë 😀'],
  ] as const;
  const link = renderSelfLink('https://a/R4', 'Flag', applied);
  t.equal(link.split('&')[0], 'https://a/R4/Flag?patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000018');
  t.strictSame([...new URL(link).searchParams], applied);
  t.equal(renderSelfLink('https://a/R4', 'Flag', []), 'https://a/R4/Flag');
});

/** What of R4 this server does not serve, why, and that it says so instead of doing something else. */
import { buildFlag } from '../../../src/synthetic/synthetic-plan.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { notServed, openConformanceWorld, type RawResponse } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4';
const world = await openConformanceWorld();
const { la, asLa, asEpr } = world;
const plan = freshPlan();
const [flagId = ''] = await submit(la, plan);
const refusedWith = ({ status, json }: RawResponse): string =>
  `${status} ${json?.resourceType === 'OperationOutcome' ? json.issue[0].severity : 'no outcome'}`;

notServed(
  `${spec}/http.html#mime-type`,
  'XML and Turtle',
  'R4 asks for one format at least; NHS England and every client of this server use JSON.',
  async (t) => {
    for (const accept of ['application/fhir+xml', 'text/turtle']) {
      t.equal(refusedWith(await asLa('GET', `Flag/${flagId}`, { headers: { accept } })), '406 error');
    }
  },
);

notServed(
  `${spec}/http.html#search`,
  'Search of the whole system, GET [base]?',
  'What a client may search on depends on the type; a search across types would be a way around that.',
  async (t) => {
    t.equal(refusedWith(await asLa('GET', '?_id=1')), '405 error');
    t.equal(refusedWith(await asLa('POST', '_search')), '404 error');
  },
);

notServed(
  `${spec}/operation-patient-everything.html`,
  'Patient/$everything',
  'A care provider gets the plans of one named child, an authority its own: $everything would be neither.',
  async (t) => {
    for (const send of [asLa, asEpr]) {
      t.equal(refusedWith(await send('GET', `Patient/${plan.nhsNumber}/$everything`)), '404 error');
    }
  },
);

notServed(
  `${spec}/operation-patient-match.html`,
  'Patient/$match, and search of Patients by care providers',
  'Fishing: who has no NHS number traces it at PDS first.',
  async (t) => {
    t.equal(refusedWith(await asEpr('POST', 'Patient/$match', { body: { resourceType: 'Parameters' } })), '404 error');
    t.equal(refusedWith(await asEpr('GET', 'Patient?family=Testchild')), '403 error');
  },
);

notServed(
  `${spec}/resource-operation-meta.html`,
  '$meta, $meta-add, $meta-delete',
  'The profiles allow no tag and no security label: there is no meta that a client could manage.',
  async (t) => {
    for (const path of ['$meta', 'Flag/$meta', `Flag/${flagId}/$meta`]) {
      t.equal(refusedWith(await asLa('GET', path)), '404 error', path);
    }
  },
);

notServed(
  `${spec}/search.html#text`,
  '_text, _content, _filter, _query',
  'There is no narrative and no text to search in, and no named query.',
  async (t) => {
    for (const name of ['_text', '_content', '_filter', '_query']) {
      t.equal(refusedWith(await asLa('GET', `Flag?${name}=x`)), '400 error', name);
    }
  },
);

notServed(
  `${spec}/async.html`,
  'Asynchronous requests, Prefer: respond-async',
  'Every answer is bounded in size and time; R4 leaves it to the server, and the answer is the synchronous one.',
  async (t) => {
    t.equal((await asLa('GET', `Flag/${flagId}`, { headers: { prefer: 'respond-async' } })).status, 200);
  },
);

notServed(
  `${spec}/graphql.html`,
  'GraphQL, bulk export, messages, documents, terminology operations',
  'No use of CP-IS asks for them, and each would be another way to the same records that has to be audited.',
  async (t) => {
    for (const path of ['$graphql', '$export', '$process-message', 'Patient/$export', 'ValueSet/$expand']) {
      t.equal((await asLa('GET', path)).status, 404, path);
    }
  },
);

notServed(
  `${spec}/auditevent.html`,
  'Create, update and delete of AuditEvents by clients',
  'They are written by the server alone and never change.',
  async (t) => {
    const body = { resourceType: 'AuditEvent' };
    t.equal(refusedWith(await asLa('POST', 'AuditEvent', { body })), '405 error');
    t.equal(refusedWith(await asLa('PUT', 'AuditEvent/1', { body })), '405 error');
    t.equal(refusedWith(await asLa('DELETE', 'AuditEvent/1')), '405 error');
  },
);

notServed(
  `${spec}/organization.html`,
  'Create, update and delete of Organizations by clients',
  'The registry of the operator is their only source.',
  async (t) => {
    t.equal(refusedWith(await asLa('POST', 'Organization', { body: { resourceType: 'Organization' } })), '405 error');
  },
);

notServed(
  `${spec}/http.html#delete`,
  'Delete of Patients',
  'A Patient is what an authority states of a child; it stands as long as the plans that depend on it.',
  async (t) => {
    t.equal(refusedWith(await asLa('DELETE', `Patient/${plan.nhsNumber}`)), '405 error');
  },
);

notServed(
  `${spec}/narrative.html`,
  'Narrative, notes, extensions, contained resources in a plan',
  'The profile is closed: no content of a plan can be sent in a Flag.',
  async (t) => {
    const text = { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">x</div>' };
    for (const more of [
      { text },
      { extension: [{ url: 'urn:x', valueString: 'x' }] },
      { encounter: { display: 'x' } },
    ]) {
      t.equal(refusedWith(await asLa('POST', 'Flag', { body: { ...buildFlag(plan), ...more } })), '422 error');
    }
  },
);

notServed(
  `${spec}/search.html#has`,
  '_has, _revinclude and chains for care providers',
  'A care provider names one patient and learns of no other; only what an authority sees anyway can be joined.',
  async (t) => {
    t.equal(
      refusedWith(await asEpr('GET', `Flag?patient=${plan.nhsNumber}&_has:AuditEvent:entity:action=R`)),
      '400 error',
    );
    t.equal(
      refusedWith(await asEpr('GET', `Flag?patient=${plan.nhsNumber}&_revinclude=AuditEvent:entity`)),
      '400 error',
    );
  },
);

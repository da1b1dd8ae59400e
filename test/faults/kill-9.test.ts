/** I1, I2 and I3 of the design: whatever was answered before kill -9 is in the store after it, with its deliveries. */
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildBatch, type SyntheticPlan, syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';
import { makeServerHome, type ServerHome, startServerProcess } from '../support/server-process.ts';
import { openOwed, readStoredAudits } from '../support/stored-audits.ts';
import { waitUntil } from '../support/wait-until.ts';

const rounds = Number(process.env['KILL_ROUNDS'] ?? 5);
const readers = 12;
const childrenPerAuthority = 20;

/** A look-up that was answered 200, whole. */
interface Acknowledged {
  readonly requestId: string;
  readonly nhsNumber: string;
  readonly authorityId: string;
}

function makePlan(nhsNumber: string, authority: number, reference: string): SyntheticPlan {
  return {
    nhsNumber,
    family: 'Example',
    given: 'Sam',
    birthDate: '2019-05-06',
    kind: { code: '342191000000101', display: 'Subject to child protection plan' },
    start: '2026-02-03',
    reference,
    referenceSystem: `https://authority-${authority}.example.org/cases`,
  };
}

/** Which of the look-ups have no AuditEvent, or no delivery to the authority that holds the plan. */
function findLost(home: ServerHome, acknowledged: readonly Acknowledged[]): readonly string[] {
  const db = new DatabaseSync(home.storeFile, { readOnly: true });
  try {
    const owedOf = openOwed(db);
    const stored = new Map<string, readonly string[]>();
    for (const { seq, body } of readStoredAudits(db, "subtype = 'search-type'")) {
      const event = JSON.parse(body) as { entity: { what?: { identifier?: { value: string } } }[] };
      const requestId = event.entity.find(({ what }) => what?.identifier !== undefined)?.what?.identifier?.value ?? '';
      stored.set(requestId, owedOf(seq));
    }
    return acknowledged
      .filter(({ requestId, authorityId }) => stored.get(requestId)?.includes(authorityId) !== true)
      .map(({ requestId }) => requestId);
  } finally {
    db.close();
  }
}

t.test(
  'I3: kill -9 in the midst of look-ups and submissions, round by round: nothing acknowledged is lost',
  async (t) => {
    const home = await makeServerHome({ settings: { CPIS_LOG_LEVEL: 'warn' } });
    t.teardown(() => home.remove());
    const numbers = syntheticNhsNumbers();
    const { authorities, careProviders } = home.registry;
    const caseSystems = authorities.map((client) => openFhirClient(home.baseUrl, client));
    const eprs = careProviders.map((client) => openFhirClient(home.baseUrl, client));
    const children: { readonly nhsNumber: string; readonly authorityId: string }[] = [];
    const acknowledged: Acknowledged[] = [];
    const submitted: { readonly authority: number; readonly reference: string }[] = [];
    const startTimesMs: number[] = [];

    let server = await startServerProcess(home);
    for (const [index, client] of authorities.entries()) {
      const plans = Array.from({ length: childrenPerAuthority }, (_, plan) =>
        makePlan(numbers.next().value, index, `CASE-${plan}`),
      );
      const { status } = (await caseSystems[index]?.request('POST', '', buildBatch(plans))) ?? { status: 0 };
      t.equal(status, 200, 'the plans are in');
      for (const { nhsNumber } of plans) children.push({ nhsNumber, authorityId: client.organisationId });
    }
    const tokens = await Promise.all(eprs.map((epr) => epr.token()));

    /** Until the server is killed: then the request fails, and the loop ends. */
    async function lookUpOn(reader: number, ended: () => boolean): Promise<void> {
      while (!ended()) {
        const child = children[Math.floor(Math.random() * children.length)];
        if (child === undefined) return;
        const requestId = randomUUID();
        const headers = { authorization: `Bearer ${tokens[reader % tokens.length]}`, 'x-request-id': requestId };
        try {
          const response = await fetch(`${home.baseUrl}/Flag?patient=${child.nhsNumber}`, { headers });
          const bundle = (await response.json()) as Bundle;
          if (response.status === 200 && bundle.total === 1) acknowledged.push({ requestId, ...child });
          else t.fail(`a look-up was answered ${response.status}`);
        } catch {
          return;
        }
      }
    }

    async function submitOn(round: number, ended: () => boolean): Promise<void> {
      for (let count = 0; !ended(); count += 1) {
        const authority = count % authorities.length;
        const reference = `ROUND-${round}-${count}`;
        try {
          const plan = makePlan(numbers.next().value, authority, reference);
          const answered = await caseSystems[authority]?.request<Bundle>('POST', '', buildBatch([plan]));
          const stored = answered?.body.entry?.every(({ response }) => response?.status?.startsWith('201'));
          if (stored === true) submitted.push({ authority, reference });
          else t.fail('a submission was refused');
        } catch {
          return;
        }
      }
    }

    for (let round = 1; round <= rounds; round += 1) {
      const before = acknowledged.length;
      let ended = false;
      const work = [submitOn(round, () => ended)];
      for (let reader = 0; reader < readers; reader += 1) work.push(lookUpOn(reader, () => ended));
      await waitUntil('a look-up is answered', () => acknowledged.length > before);
      await pause(Math.random() * 250);
      await server.kill();
      ended = true;
      await Promise.all(work);
      server = await startServerProcess(home);
      startTimesMs.push(server.startMs);
      t.strictSame(findLost(home, acknowledged.slice(before)), [], `round ${round}: every answered look-up is there`);
    }
    t.strictSame(findLost(home, acknowledged), [], 'nothing of an earlier round was lost by a later one');
    t.ok(
      acknowledged.length >= rounds,
      `${acknowledged.length} look-ups and ${submitted.length} submissions were answered`,
    );

    const told = new Set<string>();
    for (const [index, caseSystem] of caseSystems.entries()) {
      let path: string | undefined = 'AuditEvent?_count=250';
      while (path !== undefined) {
        const { body }: { readonly body: Bundle<AuditEvent> } = await caseSystem.request('GET', path);
        for (const { resource } of body.entry ?? []) {
          for (const { what } of resource?.entity ?? []) told.add(`${index} ${what?.identifier?.value}`);
        }
        path = body.link?.find(({ relation }) => relation === 'next')?.url.slice(home.baseUrl.length + 1);
      }
    }
    const unseen = acknowledged.filter(({ requestId, authorityId }) => {
      const index = authorities.findIndex(({ organisationId }) => organisationId === authorityId);
      return !told.has(`${index} ${requestId}`);
    });
    t.strictSame(unseen, [], 'each authority reads every one of them through the API');
    for (const { authority, reference } of submitted) {
      const query = new URLSearchParams({
        identifier: `https://authority-${authority}.example.org/cases|${reference}`,
      });
      const found = await caseSystems[authority]?.request<Bundle>('GET', `Flag?${query}`);
      if (found?.body.total !== 1) t.fail(`${reference} was acknowledged and is lost`);
    }
    t.equal(await server.stop(), 0, 'it still ends in order');
    startTimesMs.sort((a, b) => a - b);
    t.comment(
      `${acknowledged.length} look-ups, ${submitted.length} submissions; restart ${startTimesMs[rounds >> 1]} ms`,
    );
  },
);

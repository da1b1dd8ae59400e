/** The daily sweep is killed with SIGKILL in the midst of its work, again and again: each event is recorded once. */
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent } from 'fhir/r4.js';
import t from 'tap';
import { addDays, addMonths, londonDate } from '../../src/cpis/london-date.ts';
import { startCpis } from '../../src/synthetic/cpis-process.ts';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildBatch, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { openOwed, readStoredAudits } from '../support/stored-audits.ts';
import { freshPlan } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const planCount = 120;

t.test('each plan ends once, with one event, whenever the server is killed', async (t) => {
  const home = await makeServerHome({ settings: { CPIS_LOG_LEVEL: 'warn' } });
  t.teardown(() => home.remove());
  const [authority] = home.registry.authorities;
  if (authority === undefined) throw new Error('the registry has no authority');
  const client = openFhirClient(home.baseUrl, authority);
  const today = londonDate(Date.now());
  const start = addDays(today, -200);
  const plans = Array.from({ length: planCount }, () => freshPlan({ birthDate: addMonths(today, -12 * 17), start }));
  // A corrected birth date ends a plan; half of the children turn 18 in ten days.
  const corrected = plans.map((plan, index) => {
    const resource = buildPatient({
      ...plan,
      birthDate: addDays(addMonths(today, -12 * 18), index % 2 === 0 ? 0 : 10),
    });
    return { resource, request: { method: 'PUT', url: `Patient/${plan.nhsNumber}` } };
  });
  const first = await startServerProcess(home);
  t.equal((await client.request('POST', '', buildBatch(plans))).status, 200);
  const { status } = await client.request('POST', '', { resourceType: 'Bundle', type: 'batch', entry: corrected });
  t.equal(status, 200);
  await first.kill();

  const read = <T>(look: (db: DatabaseSync) => T): T => {
    const db = new DatabaseSync(home.storeFile, { readOnly: true });
    try {
      return look(db);
    } finally {
      db.close();
    }
  };
  const count = (): number =>
    read((db) => Number(db.prepare("SELECT count(*) AS n FROM audit WHERE type = 'plan-life-cycle'").get()?.['n']));
  for (const events of [1, 60]) {
    const server = await startCpis({
      args: ['serve'],
      env: { PATH: process.env['PATH'], ...home.settings },
      cwd: home.folder,
      // The file may be locked while the server recovers it.
      isReady: () => {
        try {
          return count() >= events;
        } catch {
          return false;
        }
      },
    });
    await server.kill();
  }
  t.ok(count() < planCount, 'the sweeps were killed before they had ended');
  const last = await startServerProcess(home);
  await waitUntil('the rest', () => count() >= planCount);
  await last.stop();

  read((db) => {
    const owedOf = openOwed(db);
    const events = readStoredAudits(db, "type = 'plan-life-cycle'").map(({ seq, body }) => ({
      owed: owedOf(seq),
      event: JSON.parse(body) as AuditEvent,
    }));
    const codes = events.map(({ event }) => event.subtype?.[0]?.code);
    t.equal(
      new Set(events.map(({ event }) => event.entity?.[0]?.what?.reference)).size,
      planCount,
      'one for each plan',
    );
    t.equal(events.length, planCount, 'and no second one');
    t.equal(codes.filter((code) => code === 'ended').length, planCount / 2);
    t.equal(codes.filter((code) => code === 'ends-soon').length, planCount / 2);
    t.ok(
      events.every(({ owed }) => owed.join() === authority.organisationId),
      'each is owed to the holder',
    );
    const versions = db
      .prepare("SELECT version, count(*) AS n FROM resource WHERE type = 'Flag' GROUP BY version")
      .all();
    t.strictSame(
      versions.map(({ version, n }) => [version, n]),
      [
        [1, planCount / 2],
        [2, planCount / 2],
      ],
    );
  });
});

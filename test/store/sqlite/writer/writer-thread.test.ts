import { randomUUID } from 'node:crypto';
import t from 'tap';
import { openSqliteStore } from '../../../../src/store/sqlite/open-sqlite-store.ts';
import { makeTempFolder } from '../../../support/temp-folder.ts';

t.test('I3: leases of an ended process do not delay deliveries when the folder is opened again', async (t) => {
  const folder = makeTempFolder(t);
  const onFatal = (error: Error): never => {
    throw error;
  };
  const nowMs = Date.now();
  const id = randomUUID();
  const audit = {
    id,
    recordedMs: nowMs,
    body: '{}',
    patients: [],
    agents: [],
    entities: [],
    type: 'rest',
    subtype: 'read',
    action: 'R',
    outcome: '0',
    labels: [],
    deliverTo: ['E99000001'],
  };
  const before = await openSqliteStore({ folder, onFatal });
  await before.commit({ writes: [], guards: [], audits: [audit] });
  const hourMs = 3_600_000;
  const [lost] = await before.deliveries.claim('E99000001', 10, nowMs, nowMs + hourMs);
  t.equal(lost?.auditId, id);
  t.strictSame(
    await before.deliveries.claim('E99000001', 10, nowMs, nowMs + hourMs),
    [],
    'a leased delivery is not claimed twice',
  );
  await before.close();

  const after = await openSqliteStore({ folder, onFatal });
  t.teardown(() => after.close());
  const [found] = await after.deliveries.claim('E99000001', 10, nowMs, nowMs + hourMs);
  t.equal(found?.auditId, id, 'claimed at once, an hour before the old lease would have ended');
  if (lost !== undefined) {
    const failed = {
      kind: 'failed',
      dueMs: nowMs + hourMs,
      reason: 'timeout',
      acknowledgedBy: [],
      spendAttempt: true,
    } as const;
    t.notOk(await after.deliveries.settle(lost, failed), 'a settlement with the old lease is ignored');
  }
});

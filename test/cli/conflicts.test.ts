import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCommandHere } from '../support/run-cpis.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, ownId, otherId, registry, folder, server } = world;
const keyFile = join(folder, 'operator.json');
writeFileSync(keyFile, JSON.stringify(registry.operator.privateJwk), { mode: 0o600 });
const listFile = join(folder, 'numbers.csv');
const conflicts = (...more: string[]) =>
  runCommandHere([
    'conflicts',
    ...['--server', server.baseUrl, '--client-id', registry.operator.clientId, '--key', keyFile],
    ...more,
  ]);

t.test('lists the children whose details differ, and takes those off that people have looked at', async (t) => {
  t.match(await conflicts(), { code: 0, out: 'nhs_number,differs,tried\r\n', err: '0 children to look at.\n' });
  const plans = [freshPlan(), freshPlan()];
  for (const plan of plans) {
    await submit(la, plan);
    const kind = kindOf('LAC');
    await submit(otherLa, { ...plan, kind, reference: `other-${plan.reference}`, birthDate: '2018-03-04' });
  }
  const listed = await conflicts();
  const [header, ...rows] = listed.out.trimEnd().split('\r\n');
  t.match(listed, { code: 1, err: '2 children to look at.\n' });
  t.equal(header, 'nhs_number,differs,tried');
  const differ = [ownId, otherId].sort().join(' ');
  t.strictSame(rows.sort(), plans.map(({ nhsNumber }) => `${nhsNumber},${differ},`).sort());

  const [first, second] = rows;
  writeFileSync(listFile, `${header}\r\n${first}\r\n`);
  const resolved = await conflicts('--resolve', listFile);
  t.match(resolved, { code: 0, out: '1 taken off the list, 0 were not on it.\n' });
  t.equal((await conflicts()).out, `${header}\r\n${second}\r\n`);
  const again = await conflicts('--resolve', listFile);
  t.match(again, { code: 1, out: '0 taken off the list, 1 were not on it.\n' });
  for (const text of [resolved.err, again.err, listed.err])
    for (const { nhsNumber } of plans) t.notMatch(text, nhsNumber);
});

t.test('wrong usage and a refused client are told in words', async (t) => {
  writeFileSync(listFile, 'nhs_number\n9990000011\n');
  t.match(await conflicts('--resolve', listFile), { code: 2, err: /no correct NHS number in record 2\./ });
  t.match(await conflicts('--client-id', 'nobody'), { code: 3, err: /issued no access token/ });
  t.match(await runCommandHere(['conflicts']), { code: 2, err: /--server is required/ });
  t.match(await runCommandHere(['conflicts', '--help']), { code: 0, out: /Usage: cpis conflicts/ });
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { londonDate } from '../../src/cpis/london-date.ts';
import { runCommandHere } from '../support/run-cpis.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { setTerms } from '../support/terms.ts';
import { endTerm } from '../support/transfers.ts';

const world = await openWorld(t);
const { la, otherLa, ownId, otherId, registry, folder, server } = world;
const keyFile = join(folder, 'operator.json');
writeFileSync(keyFile, JSON.stringify(registry.operator.privateJwk), { mode: 0o600 });
const listFile = join(folder, 'list.csv');
const connection = ['--server', server.baseUrl, '--client-id', registry.operator.clientId, '--key', keyFile];
const transfer = (...more: string[]) =>
  runCommandHere(['transfer', '--from', ownId, '--to', otherId, ...connection, ...more]);

t.test('a list is checked, then passes; running it again changes nothing', async (t) => {
  const [plan, other, shared] = [freshPlan(), freshPlan(), freshPlan()];
  await submit(la, plan, other, shared);
  await submit(otherLa, { ...shared, reference: 'of-the-other' });
  const unknown = freshPlan().nhsNumber;
  await setTerms(world, { [ownId]: { validTo: londonDate(Date.now()), replacedBy: [otherId] } });
  writeFileSync(
    listFile,
    `name,NHS_Number\nx,${plan.nhsNumber.replace(/^(...)(...)/, '$1 $2-')}\ny,${shared.nhsNumber}\n`,
  );
  const early = await transfer('--list', listFile);
  t.match([early.code, early.err], [3, /pass on .* at 00:00 in London/]);
  const checked = await transfer('--list', listFile, '--check');
  t.match([checked.code, checked.out], [0, /2 plans of .* to transfer, 0 transferred .* before\.\n1 plans for which/]);
  await endTerm(world, ownId, otherId);
  const passed = await transfer('--list', listFile);
  t.match([passed.code, passed.out], [0, /2 plans transferred.*\nCount before: 2\. Count after: 2\. They agree\.\n$/]);
  const again = await transfer('--list', listFile);
  t.match([again.code, again.out], [0, /0 plans of .* to transfer, 2 transferred .*\n0 plans transferred/]);
  writeFileSync(listFile, `${plan.nhsNumber}\n${unknown}\n`);
  const some = await transfer('--list', listFile, '--check');
  t.match([some.code, some.out], [1, /1 numbers of the list on which .* has no plan/]);
  const rest = await transfer('--all');
  t.match([rest.code, rest.out], [0, /1 plans transferred.*\nCount before: 3\. Count after: 3\. They agree/]);
  t.match((await (await fetch(`${server.origin}/health/ready`)).json()) as object, { status: 'pass' });
  for (const text of [early, checked, passed, again, some, rest].flatMap(({ out, err }) => [out, err])) {
    for (const number of [plan.nhsNumber, other.nhsNumber, unknown])
      t.notOk(text.includes(number), 'no number is printed');
  }
});

t.test('wrong usage sends nothing', async (t) => {
  writeFileSync(listFile, 'nhs_number\n9990000018\n999 000 0011\n');
  for (const [args, text] of [
    [[], /either --list or --all/],
    [['--all', '--list', listFile], /either --list or --all/],
    [['--list', listFile], /no correct NHS number in record 3\./],
    [['--list', join(folder, 'none.csv')], /cannot read the file/],
  ] as const) {
    const { code, err } = await transfer(...args);
    t.match([code, err], [2, text]);
  }
  writeFileSync(listFile, 'a,b\n1,2\n');
  t.match((await transfer('--list', listFile)).err, /has no column nhs_number/);
  writeFileSync(listFile, '');
  t.match((await transfer('--list', listFile)).err, /has no NHS number|has no column/);
  const help = await runCommandHere(['transfer', '--help']);
  t.match([help.code, help.out], [0, /Usage: cpis transfer/]);
});

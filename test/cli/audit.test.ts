/** `cpis audit` and `cpis verify-audit` on a real server. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import { makeClientKey } from '../../src/cli/keygen.ts';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { runCommandHere, runCpis } from '../support/run-cpis.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, epr, otherEpr, auditor, registry, folder, server } = world;
const keyFile = join(folder, 'auditor.json');
writeFileSync(keyFile, JSON.stringify(registry.auditor.privateJwk), { mode: 0o600 });
const connection = ['--server', server.baseUrl, '--client-id', registry.auditor.clientId, '--key', keyFile];
const audit = (args: readonly string[], input = '') => runCommandHere(['audit', ...args, ...connection], input);

const [hospital] = registry.careProviders;
if (hospital?.iua === undefined) throw new Error('no care provider');
const formula = '=HYPERLINK("https://attacker.example.org","x")';
const nurse = openFhirClient(server.baseUrl, {
  ...hospital,
  iua: {
    ...hospital.iua,
    subject_name: formula,
    subject_id: 'https://fhir.nhs.uk/Id/sds-user-id|555000000077',
  },
});

const plan = freshPlan();
await submit(la, plan);
const lookUps = 120;
for (let each = 0; each < lookUps; each += 1) await nurse.request('GET', `Flag?patient=${plan.nhsNumber}`);
await otherEpr.request('GET', `Flag?patient=${plan.nhsNumber}`);
await epr.request('GET', `Flag?patient=${plan.nhsNumber}&status=nonsense`);
const numberFile = join(folder, 'number.txt');
writeFileSync(numberFile, `${plan.nhsNumber}\n`, { mode: 0o600 });

t.test('prints what a professional did, through all pages, with formulas defused', async (t) => {
  const { code, out, err } = await audit(['--professional', '555000000077', '--format', 'csv']);
  t.match({ code, err }, { code: 0, err: `${lookUps} accesses.\n` });
  const [header, ...rows] = out.trimEnd().split('\r\n');
  t.match(header, /^recorded,outcome,interaction,nhs_number,professional,professional_id,/);
  t.equal(rows.length, lookUps);
  t.equal(new Set(rows.map((row) => row.split(',').at(-1))).size, lookUps, 'each once');
  t.ok(rows.every((row) => row.includes(`,"'=HYPERLINK(""https`) && row.includes(plan.nhsNumber)));
  const times = rows.map((row) => row.slice(0, 24));
  t.strictSame(times, times.toSorted().toReversed(), 'the newest first');
});

t.test('a table of one child, from standard input, with refusals; nothing outside the period', async (t) => {
  const table = await audit(['--patient', '-', '--organisation', 'ZZH01'], plan.nhsNumber);
  t.match(table, { code: 0, err: `${lookUps + 1} accesses.\n` });
  t.match(table.out, /^recorded +outcome +interaction +nhs_number +professional/);
  t.match(table.out, /Z +refused +search-type +999/);
  const none = await audit(['--patient', numberFile, '--from', '2020-01-01', '--to', '2020-12-31']);
  t.match(none, { code: 0, err: '0 accesses.\n' });
  t.match(await audit(['--organisation', 'ZZH02', '--format', 'ndjson']), {
    code: 0,
    out: /"resourceType":"AuditEvent"/,
  });
});

t.test('a file has mode 0600, is never replaced, and each page that is read is audited', async (t) => {
  const file = join(folder, 'trail.ndjson');
  const ownReads = async () =>
    resourcesOf<AuditEvent>(
      await auditor.request<Bundle>(
        'GET',
        `AuditEvent?agent:identifier=${registry.auditor.clientId}&patient=${plan.nhsNumber}&_count=100`,
      ),
    ).length;
  const before = await ownReads();
  writeFileSync(`${file}.partial`, 'left by another', { mode: 0o644 });
  const args = ['audit', '--patient', '-', '--format', 'ndjson', '--out', file, ...connection];
  t.match(await runCpis(args, { input: plan.nhsNumber }), { code: 0, out: '' });
  t.equal(statSync(file).mode & 0o777, 0o600);
  const events = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): AuditEvent => JSON.parse(line));
  t.ok(events.length > lookUps);
  t.equal(new Set(events.map(({ id }) => id)).size, events.length);
  t.ok((await ownReads()) >= before + 2, 'two pages');
  t.match(await runCpis(args, { input: plan.nhsNumber }), { code: 1, err: /already exists/ });
});

t.test('a copy for the person concerned is in plain words, signed, and names nobody if asked', async (t) => {
  const signKey = join(folder, 'sign.json');
  const { publicJwk } = await makeClientKey(signKey, 'ES384', undefined);
  const publicFile = join(folder, 'sign.pub.json');
  writeFileSync(publicFile, JSON.stringify(publicJwk));
  const file = join(folder, 'copy.txt');
  const made = (out: string, ...more: string[]) =>
    audit(['--subject-access', '--sign-key', signKey, '--patient', numberFile, '--out', out, ...more]);
  t.match(await made(file), { code: 0, out: '', err: /The signature is in .*copy\.txt\.jws/ });
  const text = readFileSync(file, 'utf8');
  t.match(text, /^Who used the record of NHS number 999\d{7} /);
  t.match(text, /HYPERLINK.*: looked up the record\n/);
  t.match(text, /looked up the record \(refused\)\n/);
  t.strictSame(
    [file, `${file}.jws`].map((each) => statSync(each).mode & 0o777),
    [0o600, 0o600],
  );
  const jws = readFileSync(`${file}.jws`, 'utf8');
  t.notMatch(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString(), plan.nhsNumber);
  const verify = (...more: string[]) =>
    runCommandHere(['verify-audit', '--export', file, '--keys', publicFile, ...more]);
  t.match(await verify(), { code: 0, out: /^valid: \d+ accesses, signed at / });

  const redacted = join(folder, 'redacted.txt');
  t.match(await made(redacted, '--redact-names'), { code: 0 });
  const without = readFileSync(redacted, 'utf8');
  t.notMatch(without, 'HYPERLINK');
  t.notMatch(without, hospital.iua?.subject_name ?? '-');
  t.match(without, /Z {2}a member of staff, .+: looked up the record\n/);
  t.match(without, /names of members of staff have been left out/);
  t.match(await verify('--signature', `${redacted}.jws`), { code: 1, out: /changed after it was signed/ });
  writeFileSync(file, text.replace('looked up', 'changed'));
  t.match(await verify(), { code: 1, out: /changed after it was signed/ });
  writeFileSync(file, text);
  const other = await makeClientKey(join(folder, 'other.json'), 'ES384', undefined);
  writeFileSync(publicFile, JSON.stringify({ keys: [other.publicJwk] }));
  t.match(await verify(), { code: 1, out: /by none of the keys/ });
});

t.test('wrong usage, and clients that are no auditors, are told in words', async (t) => {
  t.match(await audit([]), { code: 2, err: /Give --patient, --professional or --organisation/ });
  const wrong = await audit(['--patient', '-'], '9990000011');
  t.match(wrong, { code: 2, err: /no correct NHS number/ });
  t.notMatch(wrong.err, '9990000011');
  const typed = await audit(['--patient', plan.nhsNumber]);
  t.match(typed, { code: 2, err: /history of commands/ });
  t.notMatch(typed.err, plan.nhsNumber);
  t.match(await audit(['--organisation', 'ZZH01', '--from', '2026-02-30']), { code: 2, err: /--from must be a day/ });
  t.match(await audit(['--organisation', 'ZZH01', '--from', '2026-02-02', '--to', '2026-02-01']), { code: 2 });
  t.match(await audit(['--organisation', 'ZZH01', '--format', 'xml']), { code: 2, err: /table, csv, ndjson/ });
  t.match(await audit(['--organisation', 'ZZH01', '--redact-names']), { code: 2, err: /need --subject-access/ });
  t.match(await audit(['--subject-access', '--organisation', 'ZZH01']), { code: 2, err: /about one child/ });
  const operatorKey = join(folder, 'operator.json');
  writeFileSync(operatorKey, JSON.stringify(registry.operator.privateJwk), { mode: 0o600 });
  const asOperator = ['--client-id', registry.operator.clientId, '--key', operatorKey];
  const refused = await runCommandHere([
    'audit',
    ...['--organisation', 'ZZH01', '--out', join(folder, 'none.txt'), '--server', server.baseUrl],
    ...asOperator,
  ]);
  t.match(refused, { code: 3 });
  t.throws(() => statSync(join(folder, 'none.txt')), 'nothing is left');
  t.throws(() => statSync(join(folder, 'none.txt.partial')), 'nothing is left');
  for (const command of ['audit', 'verify-audit']) {
    t.match(await runCommandHere([command, '--help']), { code: 0, out: new RegExp(`Usage: cpis ${command}`) });
  }
});

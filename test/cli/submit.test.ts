import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import type { Bundle, Flag } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { planColumns } from '../../src/cli/submit/plan-columns.ts';
import { buildFlag } from '../../src/synthetic/synthetic-plan.ts';
import { runCommandHere, runCpis } from '../support/run-cpis.ts';
import { openWorld, type RunningWorld } from '../support/running-server.ts';
import { daysFromNow, freshNhsNumber, freshPlan, resourcesOf } from '../support/submissions.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

const columns = Object.keys(planColumns);
const system = 'https://northmoor.example.org/case-reference';

type Cells = Partial<Record<keyof typeof planColumns, string>>;

function cellsOf(reference: string, more: Cells = {}): string {
  const cells: Cells = {
    reference,
    nhs_number: freshNhsNumber(),
    family_name: 'Thistlewick',
    given_names: 'Ada Mai',
    birth_date: '2019-03-04',
    plan_type: 'CPP',
    start_date: '2025-01-31',
    ...more,
  };
  return columns.map((name) => `"${(cells[name as keyof Cells] ?? '').replaceAll('"', '""')}"`).join(',');
}

const extractOf = (...rows: readonly string[]): string => `\uFEFF${[columns.join(','), ...rows].join('\r\n')}\r\n`;

interface Desk {
  readonly world: RunningWorld;
  readonly folder: string;
  /** Returns the path. */
  write(name: string, content: string | Buffer): string;
  /** Returns the options of a submission to the real server or to `server`. */
  options(server?: string): string[];
  results(file: string): Record<string, string>[];
}

async function openDesk(t: Test): Promise<Desk> {
  const world = await openWorld(t);
  const folder = makeTempFolder(t);
  const client = world.registry.authorities[0];
  const key = join(folder, 'key.json');
  writeFileSync(key, JSON.stringify(client?.privateJwk), { mode: 0o600 });
  return {
    world,
    folder,
    write(name, content) {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    },
    options: (server = world.server.baseUrl) => [
      ...['--server', server, '--client-id', client?.clientId ?? '', '--key', key, '--reference-system', system],
    ],
    results: (file) => parse(readFileSync(file), { columns: true }),
  };
}

/** Opens a proxy to the real server. `intercept` may return a status to respond with, or 0 to break the connection. */
async function openProxy(t: Test, target: string, intercept: (method: string, path: string) => number | undefined) {
  const { hostname, port } = new URL(target);
  const proxy = createServer((request, response) => {
    const answer = intercept(request.method ?? '', request.url ?? '');
    if (answer === 0) {
      request.socket.destroy();
      return;
    }
    if (answer !== undefined) {
      request.resume();
      response.writeHead(answer, answer === 429 ? { 'retry-after': '1' } : {}).end('<html>');
      return;
    }
    const { method, url: path, headers } = request;
    const onward = httpRequest({ hostname, port, method, path, headers }, (from) => {
      response.writeHead(from.statusCode ?? 500, from.headers);
      from.pipe(response);
    });
    request.pipe(onward.on('error', () => response.destroy()));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/FHIR/R4`;
}

async function flagsOf({ world }: Desk): Promise<Flag[]> {
  const found = await world.authorities[0]?.request<Bundle>('GET', 'Flag?_count=250');
  return found === undefined ? [] : resourcesOf<Flag>(found);
}

t.test('each record of an extract has its result, and submitting again changes nothing', async (t) => {
  const desk = await openDesk(t);
  const { world } = desk;
  const shared = freshNhsNumber();
  const other = world.authorities[1];
  const known = { resourceType: 'Patient', id: shared, birthDate: '2018-01-01', name: [{ family: 'Quillmere' }] };
  const identifier = [{ system: 'https://fhir.nhs.uk/Id/nhs-number', value: shared }];
  t.equal((await other?.request('PUT', `Patient/${shared}`, { ...known, identifier }))?.status, 201);
  const held = freshPlan({ nhsNumber: shared, birthDate: '2018-01-01', family: 'Quillmere' });
  t.equal((await other?.request('POST', 'Flag', buildFlag(held)))?.status, 201);

  const today = daysFromNow(0);
  const twice = freshNhsNumber();
  const wrongDigit = freshNhsNumber().replace(/\d$/, (digit) => String((Number(digit) + 1) % 10));
  const file = desk.write(
    'plans.csv',
    extractOf(
      cellsOf('A-1'),
      cellsOf('A,2|$', { plan_type: 'lac', end_date: '2025-06-30', family_name: 'Ó "Marram", the\r\nthird' }),
      cellsOf('A-3', { plan_type: '818901000000100', birth_date: '1995-05-05' }),
      cellsOf('A-4', { nhs_number: wrongDigit }),
      cellsOf('A-5', { nhs_number: 'ABC 12 34' }),
      cellsOf('A-6', { nhs_number: shared }),
      cellsOf('A-7', { start_date: '31/01/2025', withdrawn: 'perhaps' }),
      cellsOf('A-1'),
      `${cellsOf('A-9')},more`,
      cellsOf('A-10', { end_date: daysFromNow(400) }),
      cellsOf('A-11', { withdrawn: 'yes' }),
      cellsOf('A-12', { birth_date: '1980-01-01' }),
      cellsOf('A-13', { nhs_number: twice, birth_date: '2017-01-01' }),
      cellsOf('A-14', { nhs_number: twice, family_name: 'Another', birth_date: '2018-01-01', plan_type: 'LAC' }),
    ),
  );
  const first = await runCommandHere(['submit', file, ...desk.options(), '--batch-size', '3']);
  t.match(first, { code: 1, out: /^6 of 14 records loaded\. CPF03/ }, first.err);
  const results = desk.results(`${file}.results.csv`);
  t.strictSame(
    results.map(({ reference, result, nhs_response }) => [reference, result, nhs_response]),
    [
      ['A-1', 'created', 'CPR06'],
      ['A,2|$', 'created', 'CPR06'],
      ['A-3', 'created', 'CPR06'],
      ['A-4', 'not sent', 'CPR01'],
      ['A-5', 'not sent', 'CPR04'],
      ['A-6', 'created', 'CPR06'],
      ['A-7', 'not sent', 'CPR07'],
      ['A-1', 'not sent', 'CPR07'],
      ['A-9', 'not sent', 'CPR07'],
      ['A-10', 'not sent', 'CPR07'],
      ['A-11', 'created', 'CPR06'],
      ['A-12', 'not sent', 'CPR07'],
      ['A-13', 'created', 'CPR06'],
      ['A-14', 'refused', 'CPR03'],
    ],
  );
  t.match(results[13]?.['explanation'], /Wrong child/);
  t.match(results[6]?.['explanation'], /start_date is not a date.*withdrawn|withdrawn.*start_date/);
  t.match(results[7]?.['explanation'], /also that of record 1/);
  t.match(results[8]?.['explanation'], /11 fields/);
  t.match(results[9]?.['explanation'], /is in the future/);
  t.match(results[11]?.['explanation'], /18 or older/);
  t.notMatch(
    readFileSync(`${file}.results.csv`, 'utf8'),
    new RegExp(`${shared}|Thistlewick`),
    'the results hold nothing of the children',
  );
  t.notOk(existsSync(`${file}.results.csv.part`));
  t.equal(statSync(`${file}.results.csv`).mode & 0o777, 0o600);

  const stored = await flagsOf(desk);
  t.equal(stored.length, 6);
  const byReference = new Map(stored.map((flag) => [flag.identifier?.[0]?.value, flag]));
  t.match(byReference.get('A,2|$'), { status: 'inactive', period: { start: '2025-01-31', end: '2025-06-30' } });
  t.match(byReference.get('A-11'), { status: 'entered-in-error' });
  t.match(byReference.get('A-1'), { id: results[0]?.['flag'], identifier: [{ system }] });

  const again = await runCommandHere(['submit', file, ...desk.options(), '--results', join(desk.folder, 'again.csv')]);
  t.match(again, { code: 1, out: /^6 of 14/ });
  const updated = desk.results(join(desk.folder, 'again.csv')).filter(({ nhs_response }) => nhs_response === 'CPR06');
  t.strictSame([...new Set(updated.map(({ result, version }) => `${result} ${version}`))], ['up to date 1']);

  const ended = extractOf(
    cellsOf('A-1', { end_date: today, nhs_number: byReference.get('A-1')?.subject.reference?.slice(8) ?? '' }),
  );
  const amended = await runCpis(['submit', desk.write('ended.csv', ended), ...desk.options()]);
  t.match(amended, { code: 0, out: /CPF02/ });
  t.match(desk.results(join(desk.folder, 'ended.csv.results.csv')), [{ result: 'up to date', version: '2' }]);
});

t.test('a record ends and withdraws its plan although the details of the child are refused', async (t) => {
  const desk = await openDesk(t);
  const numbers = [freshNhsNumber(), freshNhsNumber()];
  const rows = (over: (index: number) => Cells): string =>
    extractOf(...numbers.map((nhs_number, index) => cellsOf(`B-${index}`, { nhs_number, ...over(index) })));
  const send = async (name: string, text: string): Promise<Record<string, string>[]> => {
    const file = desk.write(name, text);
    await runCommandHere(['submit', file, ...desk.options()]);
    return desk.results(`${file}.results.csv`);
  };
  await send(
    'open.csv',
    rows(() => ({})),
  );
  const over = { birth_date: '1990-01-01', family_name: 'Another' };
  const ends = await send(
    'ends.csv',
    rows((index) => ({ ...over, ...(index === 0 ? { end_date: daysFromNow(-30) } : { withdrawn: 'yes' }) })),
  );
  for (const { result, nhs_response, version, explanation } of ends) {
    t.match({ result, nhs_response, version }, { result: 'refused', nhs_response: 'CPR03', version: '2' });
    t.match(explanation, /ended or withdrawn all the same.*Wrong child/);
  }
  const statuses = (await flagsOf(desk)).map(({ status }) => status).sort();
  t.strictSame(statuses, ['entered-in-error', 'inactive']);
});

t.test('a plan that overlaps is not loaded, and the held reference is named', async (t) => {
  const desk = await openDesk(t);
  const nhs_number = freshNhsNumber();
  const send = async (name: string, text: string, options: readonly string[] = desk.options()) => {
    const file = desk.write(name, text);
    await runCommandHere(['submit', file, ...options]);
    return desk.results(`${file}.results.csv`);
  };
  await send('first.csv', extractOf(cellsOf('C-1', { nhs_number })));
  const otherSystem = desk.options().with(-1, 'https://northmoor.example.org/new-system');
  const again = await send('again.csv', extractOf(cellsOf('C-1', { nhs_number })), otherSystem);
  t.match(again, [{ result: 'refused', nhs_response: 'CPR07', explanation: new RegExp(`${system}\\|C-1`) }]);
  const moved = extractOf(
    cellsOf('C-2', { nhs_number, start_date: daysFromNow(-3) }),
    cellsOf('C-1', { nhs_number, end_date: daysFromNow(-5) }),
  );
  t.match(await send('moved.csv', moved), [{ result: 'created' }, { result: 'up to date', version: '2' }]);
  const withdrawn = await send('withdrawn.csv', extractOf(cellsOf('C-2', { nhs_number, withdrawn: 'yes' })));
  t.match(withdrawn, [{ result: 'up to date' }]);
  const revived = await send('revived.csv', extractOf(cellsOf('C-2', { nhs_number, start_date: daysFromNow(-3) })));
  t.match(revived, [{ nhs_response: 'CPR07', explanation: /stays withdrawn.*new reference/ }]);
});

t.test('a new NHS number moves the plan, and the result says so', async (t) => {
  const desk = await openDesk(t);
  const send = async (name: string, nhs_number: string) => {
    const file = desk.write(name, extractOf(cellsOf('M-1', { nhs_number })));
    await runCommandHere(['submit', file, ...desk.options()]);
    return desk.results(`${file}.results.csv`);
  };
  const [oldNumber, newNumber] = [freshNhsNumber(), freshNhsNumber()];
  const [created] = await send('old.csv', oldNumber);
  const [moved] = await send('new.csv', newNumber);
  const flag = created?.['flag'];
  t.match(moved, { result: 'moved', nhs_response: 'CPR06', flag, version: '2', explanation: /was moved/ });
  t.match(await send('again.csv', newNumber), [{ result: 'up to date', flag, version: '2' }]);
  for (const [nhsNumber, total] of [
    [oldNumber, 0],
    [newNumber, 1],
  ] as const) {
    t.match((await desk.world.epr.request('GET', `Flag?patient=${nhsNumber}`)).body, { total });
  }
});

t.test('--check finds plans that overlap, and a reference system that the registry does not list', async (t) => {
  const folder = makeTempFolder(t);
  const file = join(folder, 'plans.csv');
  const nhs_number = freshNhsNumber();
  const mother = { nhs_number: freshNhsNumber(), plan_type: 'UCPP', birth_date: '1996-01-01' };
  const rows = [
    cellsOf('D-1', { nhs_number }),
    cellsOf('D-2', { nhs_number, start_date: '2025-06-01' }),
    cellsOf('D-3', { nhs_number, start_date: '2024-06-01', end_date: '2025-01-30' }),
    cellsOf('D-4', { nhs_number, withdrawn: 'yes' }),
    cellsOf('D-5', { nhs_number, plan_type: 'LAC' }),
    cellsOf('D-6', mother),
    cellsOf('D-7', mother),
  ];
  writeFileSync(file, extractOf(...rows));
  t.match(await runCommandHere(['submit', file, '--check']), {
    code: 1,
    out: /^record 2: the child has another plan .*in record 1\nrecord 6: warning[\s\S]*7 records, 1 with problems/,
  });
  writeFileSync(file, extractOf(...rows.toSpliced(1, 1)));
  const sample = fileURLToPath(new URL('../../registry.sample.json', import.meta.url));
  const check = (referenceSystem: string, client = 'sample-northmoor-case-system') =>
    runCommandHere([
      ...['submit', file, '--check', '--registry', sample],
      ...['--client-id', client, '--reference-system', referenceSystem],
    ]);
  t.match(await check(system), { code: 0 });
  t.match(await check('urn:other'), { code: 2, err: /does not list this --reference-system.*case-reference/ });
  t.match(await check(system, 'nobody'), { code: 2, err: /no client has the id/ });
  t.match(await runCommandHere(['submit', file, '--registry', sample, '--reference-system', system]), { code: 2 });
});

t.test('retries while the server is unreachable, throttles or fails', async (t) => {
  const desk = await openDesk(t);
  const troubles = [0, 429, 503, 500];
  const proxy = await openProxy(t, desk.world.server.baseUrl, (method, path) => {
    return method === 'POST' && path === '/FHIR/R4' ? troubles.shift() : undefined;
  });
  const file = desk.write('plans.csv', extractOf(cellsOf('B-1'), cellsOf('B-2')));
  const run = await runCommandHere(['submit', file, ...desk.options(proxy)]);
  t.match(run, { code: 0, out: /^2 of 2 records loaded/ }, run.err);
  t.match(run.err, /cannot reach the server[\s\S]*status 429[\s\S]*status 503[\s\S]*status 500/);
  t.equal((await flagsOf(desk)).length, 2);
});

t.test('an interrupted run continues where it stopped, but starts again if the extract has changed', async (t) => {
  const desk = await openDesk(t);
  let down = true;
  let batches = 0;
  const proxy = await openProxy(t, desk.world.server.baseUrl, (method, path) => {
    if (method !== 'POST' || path !== '/FHIR/R4') return undefined;
    batches += 1;
    return down && batches > 2 ? 503 : undefined;
  });
  const rows = Array.from({ length: 5 }, (_, index) => cellsOf(`C-${index + 1}`));
  const file = desk.write('plans.csv', extractOf(...rows));
  const args = ['submit', file, ...desk.options(proxy), '--batch-size', '1'];
  const gaveUp = await runCommandHere([...args, '--give-up-after-s', '1']);
  t.match(gaveUp, { code: 3, err: /Stopped: the server returned status 503/ });
  t.notOk(existsSync(`${file}.results.csv`));

  const part = readFileSync(`${file}.results.csv.part`, 'utf8');
  writeFileSync(`${file}.results.csv.part`, `${part}{"record":3,"refe`);
  const interrupted = await runCpis(args, { interruptOn: 'retrying in' });
  t.match(interrupted, { code: 130, err: /Continuing after record 2\.[\s\S]*Interrupted after record 2/ });

  down = false;
  batches = 0;
  const rest = await runCommandHere(args);
  t.match(rest, { code: 0, out: /^5 of 5/ });
  t.equal(batches, 3, 'only records 3, 4 and 5 were sent');
  t.strictSame(
    desk.results(`${file}.results.csv`).map(({ record }) => record),
    ['1', '2', '3', '4', '5'],
  );

  writeFileSync(`${file}.results.csv.part`, part);
  desk.write('plans.csv', extractOf(...rows, cellsOf('C-6')));
  batches = 0;
  t.match(await runCommandHere(args), { code: 0, out: /^6 of 6/ });
  t.equal(batches, 6, 'all of a changed extract is sent');
});

t.test('the documentation lists the columns that are read', (t) => {
  const page = readFileSync('docs/command-line.md', 'utf8');
  const [, table = ''] = /\| Column [\s\S]*?\n((?:\|.*\n)+)/.exec(page) ?? [];
  const rows = [...table.matchAll(/^\| `(\w+)` +\| (yes|no) +\|/gm)].map(([, name, needed]) => [
    name,
    needed === 'yes',
  ]);
  t.strictSame(
    rows,
    Object.entries(planColumns).map(([name, { required }]) => [name, required]),
  );
  t.end();
});

t.test(
  'exits with 2 for wrong usage, 1 for a malformed file before anything is sent, 3 for an unknown client',
  async (t) => {
    const desk = await openDesk(t);
    const good = desk.write('good.csv', extractOf(cellsOf('D-1')));
    const wrong: readonly (readonly [string[], RegExp])[] = [
      [['submit'], /PLANS\.CSV is required/],
      [['submit', good], /--reference-system is required/],
      [['submit', good, '--sever', 'x'], /--sever/],
      [['submit', good, 'more.csv', ...desk.options()], /accepts only 1 argument/],
      [['submit', good, ...desk.options(), '--batch-size', '0'], /--batch-size must be a whole number/],
      [['submit', good, ...desk.options('http://example.org/FHIR/R4')], /https/],
      [['submit', join(desk.folder, 'none.csv'), ...desk.options()], /ENOENT/],
      [['submit', good, ...desk.options(), '--key', good], /no private JWK/],
      [['submit', desk.write('typo.csv', 'reference,end_dat\n'), ...desk.options()], /column 2 is not known/],
      [['submit', desk.write('few.csv', 'reference\n'), ...desk.options()], /missing: nhs_number/],
    ];
    const refusals = wrong.map(async ([args, message]) => {
      t.match(await runCommandHere(args), { code: 2, err: message }, message.source);
    });
    await Promise.all(refusals);
    const latin1 = Buffer.from(extractOf(cellsOf('D-1', { family_name: 'Ó' })).slice(1), 'latin1');
    for (const [name, content, message] of [
      ['empty.csv', '', /CPF01.*empty/],
      ['latin1.csv', latin1, /CPF01.*not UTF-8/],
      ['quote.csv', `${extractOf(cellsOf('D-1'))}"a"b,`, /CPF01.*quote/],
      ['open.csv', `${extractOf(cellsOf('D-1'))}"${'x'.repeat(70_000)}`, /CPF01.*quote/],
    ] as const) {
      t.match(
        await runCommandHere(['submit', desk.write(name, content), ...desk.options()]),
        { code: 1, err: message },
        name,
      );
    }
    const unknown = await runCommandHere(['submit', good, ...desk.options(), '--client-id', 'nobody']);
    t.match(unknown, { code: 3, err: /no access token.*invalid_client/ });
    const nowhere = [...desk.options(), '--results', join(desk.folder, 'no', 'such.csv')];
    t.match(
      await runCommandHere(['submit', good, ...nowhere]),
      { code: 1, err: /^ENOENT.*such\.csv/ },
      'before anything is sent',
    );
    t.match(await runCommandHere(['submit', good, '--check']), { code: 0, out: /^1 records, 0 with problems/ });
    const unfit = desk.write('unfit.csv', extractOf(cellsOf('D-2', { birth_date: 'x' })));
    t.match(await runCommandHere(['submit', unfit, '--check']), { code: 1, out: /record 1: birth_date/ });
    const mother = {
      nhs_number: freshNhsNumber(),
      plan_type: 'UCPP',
      birth_date: '1996-01-01',
      start_date: daysFromNow(-20),
    };
    const doubtful = desk.write(
      'doubtful.csv',
      extractOf(
        cellsOf('D-3', mother),
        cellsOf('D-4', { ...mother, due_date: daysFromNow(60) }),
        cellsOf('D-3', { start_date: '2010-01-01', end_date: '2009-01-01', birth_date: '2012-01-01' }),
        cellsOf('D-5', { start_date: '2010-01-01', birth_date: '2012-01-01' }),
      ),
    );
    const { code, out } = await runCommandHere(['submit', doubtful, '--check']);
    t.equal(code, 1);
    const lines = out.split('\n');
    t.match(lines[0], /^record 1: warning: due_date: This unborn child's plan has no .*in the column due_date/);
    t.match(lines[1], /^record 2: warning: nhs_number: .*right for twins/);
    t.match(lines[2], /^record 3: the reference is also that of record 1; end_date is before start_date/);
    t.match(lines[3], /^record 4: start_date is before the birth of the subject/);
    t.match(lines[4], /^4 records, 2 with problems, 2 with warnings\. Nothing was sent\./);
    t.notMatch(out, /period\.|Flag|extension/, 'in the terms of the extract');
    t.match(await runCommandHere(['submit', '--help']), { code: 0, out: /^Usage: cpis submit/ });
    t.equal((await flagsOf(desk)).length, 0);
    t.match(await runCommandHere(['nothing']), { code: 2 });
    for (const command of [[], ['serve'], ['migrate'], ['demo'], ['keygen'], ['receive'], ['verify-notification']]) {
      const help = await runCommandHere([...command, '--help']);
      t.match(help, { code: 0, out: new RegExp(`^Usage: cpis ${command[0] ?? '<command>'}`), err: '' });
      t.notMatch(help.out, /.{121}/, 'no line is wider than 120 columns');
    }
  },
);

import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { startStandInPds } from '../../src/synthetic/stand-in-pds-process.ts';
import { runCommandHere } from '../support/run-cpis.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

test('it is refused outside loopback, before it writes anything', async (t) => {
  const key = join(makeTempFolder(t), 'key.json');
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org', 'localhost', '']) {
    const { code, err } = await runCommandHere(['stand-in-pds', '--key', key, '--host', host]);
    t.equal(code, 2, host);
    t.match(err, '--host must be a loopback address');
  }
  t.notOk(existsSync(key));
  t.match(await runCommandHere(['stand-in-pds']), { code: 2, err: /--key is required/ });
  t.match(await runCommandHere(['stand-in-pds', '--key', key, '--port', 'x']), { code: 2, err: /--port/ });
});

test('one command makes the key, listens, and prints the settings of a server', async (t) => {
  const key = join(makeTempFolder(t), 'new', 'key.json');
  const pds = await startStandInPds(key);
  t.teardown(pds.stop);
  t.equal(statSync(key).mode & 0o777, 0o600);
  t.match(pds.settings, {
    CPIS_DEMOGRAPHICS: 'pds',
    CPIS_PDS_URL: /^http:\/\/127\.0\.0\.1:\d+\/personal-demographics\/FHIR\/R4$/,
    CPIS_PDS_KEY_FILE: key,
  });
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${pds.settings['CPIS_PDS_URL']}/${path}`, { headers });
  t.equal((await get('Patient/9990100004')).status, 401);
  t.equal((await get('Patient/9990100004', { authorization: 'Bearer x' })).status, 401);
  t.equal((await get('metadata')).status, 400);
  const token = await fetch(pds.settings['CPIS_PDS_TOKEN_URL'] ?? '', {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  t.equal(token.status, 400);
  await t.rejects(pds.put([{ number: '9434765919' }]), 'a number that may be issued');
});

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../src/net/find-free-port.ts';
import { isServerReady } from '../../src/synthetic/cpis-process.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { waitUntil } from '../support/wait-until.ts';

t.test(
  'a second server on a data folder ends with a message, and SIGHUP reloads the registry without ending the server',
  async (t) => {
    const home = await makeServerHome();
    t.teardown(() => home.remove());
    const first = await startServerProcess(home);
    t.teardown(() => first.kill());
    const port = String(await findFreePort());
    const second = { ...home, origin: `http://127.0.0.1:${port}`, settings: { ...home.settings, CPIS_PORT: port } };
    const refused: unknown = await startServerProcess(second).catch((error: unknown) => error);
    t.match(refused, { message: /The data folder .* is in use by another process\.\n$/ });
    t.notMatch(refused, { message: /\bat .*\.ts:/ }, 'without a stack');
    process.kill(first.pid, 'SIGHUP');
    await waitUntil('the registry is reloaded', () => first.output().includes('registry reloaded'));
    t.ok(await isServerReady(home.origin));
    t.equal(await first.stop(), 0);
  },
);

t.test('a start that the machine does not allow ends with words that name the setting or the folder', async (t) => {
  const home = await makeServerHome();
  t.teardown(() => home.remove());
  const file = join(home.folder, 'a-file');
  writeFileSync(file, '', { mode: 0o600 });
  const damaged = join(home.folder, 'damaged');
  mkdirSync(damaged, { mode: 0o700 });
  writeFileSync(join(damaged, 'store.sqlite'), 'x'.repeat(5_000), { mode: 0o600 });
  const remote = {
    CPIS_HOST: '203.0.113.5',
    CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP: 'true',
    CPIS_PUBLIC_BASE_URL: 'https://cpis.example.org/FHIR/R4',
  };
  const busy = createServer().listen(Number(home.settings['CPIS_PORT']), '127.0.0.1');
  t.teardown(() => busy.close());
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{}, /CPIS_PORT: another process listens on port \d+ of 127\.0\.0\.1\./],
    [remote, /CPIS_HOST: this machine has no address 203\.0\.113\.5\./],
    [{ ...remote, CPIS_PORT: '0' }, /CPIS_HOST: this machine has no address 203\.0\.113\.5\./],
    [{ CPIS_DATA_FOLDER: join(file, 'data') }, /a-file\/data.* cannot be used: a part of its path is a file\./],
    [
      { CPIS_DATA_FOLDER: damaged },
      /The data folder .*damaged cannot be used: its store\.sqlite is no SQLite database/,
    ],
  ];
  for (const [settings, message] of cases) {
    const ended: unknown = await startServerProcess({
      ...home,
      // Not the address of the ready probe, so that only the end of the process ends the wait.
      origin: 'http://127.0.0.1:1',
      settings: { ...home.settings, ...settings },
    }).catch((error: unknown) => error);
    t.match(ended, { message });
    t.notMatch(ended, { message: /\bat .*\.ts:|node:internal/ }, 'without a stack');
  }
});

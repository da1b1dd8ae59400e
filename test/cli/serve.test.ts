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

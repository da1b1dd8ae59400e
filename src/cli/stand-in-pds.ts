import { existsSync } from 'node:fs';
import { isLoopbackAddress } from '../notification/outbound-http/blocked-address.ts';
import { openStandInPds } from '../synthetic/stand-in-pds/open-stand-in-pds.ts';
import { makeClientKey } from './keygen.ts';
import {
  CommandError,
  type CommandIo,
  readArguments,
  required,
  UsageError,
  wholeNumber,
} from './terminal/command-line.ts';
import { readPrivateKey } from './terminal/read-file.ts';

const usage = `Usage: cpis stand-in-pds --key FILE [options]

Runs a stand-in for NHS England's Personal Demographics Service on this machine, with invented people on NHS numbers
that are never issued (999 000 0000 to 999 999 9999). For tests and demonstrations. See docs/demographics.md.

  --key FILE        the private key that signs for the server (CPIS_PDS_KEY_FILE); created if it does not exist
  --client-id NAME  the API key of the server (CPIS_PDS_CLIENT_ID; default stand-in)
  --host ADDRESS    loopback address to listen on (default 127.0.0.1)
  --port N          port to listen on (default 8095); 0 selects a free port
`;

const keyAlg = 'RS512';

/** Runs `cpis stand-in-pds`. Resolves when it listens. */
export async function standInPds(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    key: { type: 'string' },
    'client-id': { type: 'string', default: 'stand-in' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  if (!isLoopbackAddress(values.host)) throw new UsageError('--host must be a loopback address, such as 127.0.0.1.');
  const port = wholeNumber(values.port, '--port', 0, 65_535, 8095);
  const keyFile = required(values.key, '--key');
  if (!existsSync(keyFile)) await makeClientKey(keyFile, keyAlg, undefined);
  const { kty = '', n = '', e = '', kid = '', alg } = readPrivateKey('--key', keyFile);
  if (alg !== keyAlg) throw new UsageError(`--key: the key must be for ${keyAlg}.`);
  const clientId = values['client-id'];
  const pds = await openStandInPds({ host: values.host, port, clientId, publicJwk: { kty, n, e, kid } }).catch(
    (error: unknown) => {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
      throw new CommandError(`Cannot listen on ${values.host}, port ${port} (${code}).`);
    },
  );
  stdout.write(
    `CPIS_DEMOGRAPHICS=pds\nCPIS_PDS_URL=${pds.baseUrl}\nCPIS_PDS_TOKEN_URL=${pds.tokenUrl}\n` +
      `CPIS_PDS_CLIENT_ID=${clientId}\nCPIS_PDS_KEY_FILE=${keyFile}\nCPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS=true\n`,
  );
  stderr.write('listening; the settings above connect a server to it\n');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void pds.close());
  return 0;
}

import { randomBytes } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { createPrivateFile } from '../files/private-file.ts';
import { rotateNotificationKeys } from '../notification/outbound-http/notification-keys.ts';
import { clientAlgorithms } from '../registry/check-public-key.ts';
import { CommandError, readArguments, required, UsageError } from './command-line.ts';

export const keygenUsage = `Usage: cpis keygen --out FILE [--alg ES384|RS384|RS512] [--kid NAME]
       cpis keygen --notification-keys FILE [--drop-old]
       cpis keygen --webhook-secret

Makes a key. With --out: the private key of a client, as a JWK in a new file that only its owner can read; prints the
public JWK, which goes to the operator for "jwks" in the registry.

  --out FILE                the private key file; one that is there is never overwritten
  --alg NAME                signature algorithm, ES384 unless given
  --kid NAME                name of the key; unless given, its RFC 7638 thumbprint
  --notification-keys FILE  the operator's: puts a new key before those that sign notifications, prints the public ones
  --drop-old                with --notification-keys: makes no key, and keeps the newest alone
  --webhook-secret          prints a new secret for "webhookSecrets" in the registry
`;

/** `cpis keygen`: see the usage above. */
export async function keygen(args: readonly string[]): Promise<void> {
  const { values } = readArguments(args, {
    out: { type: 'string' },
    alg: { type: 'string', default: 'ES384' },
    kid: { type: 'string' },
    'notification-keys': { type: 'string' },
    'drop-old': { type: 'boolean', default: false },
    'webhook-secret': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) process.stdout.write(keygenUsage);
  else if (values['webhook-secret']) process.stdout.write(`whsec_${randomBytes(32).toString('base64')}\n`);
  else if (values['notification-keys'] !== undefined) {
    const { publicJwks } = await rotateNotificationKeys(values['notification-keys'], { dropOld: values['drop-old'] });
    process.stdout.write(`${JSON.stringify(publicJwks, undefined, 2)}\n`);
    process.stderr.write(`${publicJwks.keys.length} keys sign from the next start on.\n`);
  } else await makeClientKey(required(values.out, '--out'), values.alg, values.kid);
}

async function makeClientKey(file: string, alg: string, kid: string | undefined): Promise<void> {
  if (!clientAlgorithms.some((each) => each === alg))
    throw new UsageError(`--alg is one of ${clientAlgorithms.join(', ')}.`);
  if (kid !== undefined && !/^[!-~]{1,128}$/.test(kid))
    throw new UsageError('--kid is 1 to 128 visible ASCII characters.');
  const pair = await generateKeyPair(alg, { extractable: true, modulusLength: 3072 });
  const publicJwk = await exportJWK(pair.publicKey);
  const marks = { kid: kid ?? (await calculateJwkThumbprint(publicJwk)), alg, use: 'sig' };
  const privateJwk = { ...(await exportJWK(pair.privateKey)), ...marks };
  if (!createPrivateFile(file, `${JSON.stringify(privateJwk, undefined, 2)}\n`)) {
    throw new CommandError(`${file} is there already, and is left as it is.`);
  }
  process.stdout.write(`${JSON.stringify({ ...publicJwk, ...marks }, undefined, 2)}\n`);
  process.stderr.write(
    `The private key is in ${file}. The key above goes into "jwks.keys" of the client in the registry.\n`,
  );
}

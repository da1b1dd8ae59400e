import { randomBytes } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { createPrivateFile } from '../files/private-file.ts';
import { rotateNotificationKeys } from '../notification/outbound-http/notification-keys.ts';
import { clientAlgorithms } from '../registry/check-public-key.ts';
import { CommandError, type CommandIo, readArguments, required, UsageError } from './terminal/command-line.ts';

export const keygenUsage = `Usage: cpis keygen --out FILE [--alg ES384|RS384|RS512] [--kid NAME]
       cpis keygen --notification-keys FILE [--drop-old]
       cpis keygen --webhook-secret

Creates a key. With --out: creates the private key of a client, as a JWK in a new file that only its owner can read, and
prints the public JWK. Send the public JWK to the operator, who adds it to "jwks" in the registry.

  --out FILE                the new private key file; an existing file is never overwritten
  --alg NAME                signature algorithm: ES384, RS384 or RS512 (default ES384)
  --kid NAME                name of the key (default: its RFC 7638 thumbprint)
  --notification-keys FILE  for operators: add a new first key for signing notifications; print all public keys
  --drop-old                with --notification-keys: create no key; remove all keys but the newest
  --webhook-secret          print a new secret for "webhookSecrets" in the registry
`;

/** Runs `cpis keygen`. */
export async function keygen(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    out: { type: 'string' },
    alg: { type: 'string', default: 'ES384' },
    kid: { type: 'string' },
    'notification-keys': { type: 'string' },
    'drop-old': { type: 'boolean', default: false },
    'webhook-secret': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) stdout.write(keygenUsage);
  else if (values['webhook-secret']) stdout.write(`whsec_${randomBytes(32).toString('base64')}\n`);
  else if (values['notification-keys'] !== undefined) {
    const { publicJwks } = await rotateNotificationKeys(values['notification-keys'], { dropOld: values['drop-old'] });
    stdout.write(`${JSON.stringify(publicJwks, undefined, 2)}\n`);
    stderr.write(`Keys in the file: ${publicJwks.keys.length}. Restart the server to sign with them.\n`);
  } else {
    const { file, publicJwk } = await makeClientKey(required(values.out, '--out'), values.alg, values.kid);
    stdout.write(`${JSON.stringify(publicJwk, undefined, 2)}\n`);
    stderr.write(
      `The private key is in ${file}. Add the public key above to "jwks.keys" of the client in the registry.\n`,
    );
  }
  return 0;
}

/** Writes a new private key to `file` and returns the public key. Throws CommandError if the file exists. */
export async function makeClientKey(file: string, alg: string, kid: string | undefined) {
  if (!clientAlgorithms.some((each) => each === alg))
    throw new UsageError(`--alg must be one of ${clientAlgorithms.join(', ')}.`);
  if (kid !== undefined && !/^[!-~]{1,128}$/.test(kid))
    throw new UsageError('--kid must be 1 to 128 visible ASCII characters.');
  const pair = await generateKeyPair(alg, { extractable: true, modulusLength: 3072 });
  const publicJwk = await exportJWK(pair.publicKey);
  const marks = { kid: kid ?? (await calculateJwkThumbprint(publicJwk)), alg, use: 'sig' };
  const privateJwk = { ...(await exportJWK(pair.privateKey)), ...marks };
  if (!createPrivateFile(file, `${JSON.stringify(privateJwk, undefined, 2)}\n`)) {
    throw new CommandError(`${file} already exists and was not changed. Choose another file name.`);
  }
  return { file, publicJwk: { ...publicJwk, ...marks } };
}

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { JSONWebKeySet } from 'jose';
import { type CommandIo, readArguments, required, UsageError } from '../terminal/command-line.ts';
import { readFileOf } from '../terminal/read-file.ts';
import { verifyExport } from './subject-access.ts';

const usage = `Usage: cpis verify-audit --export FILE --keys FILE [--signature FILE]

Checks that an export of "cpis audit --subject-access" was signed with one of the keys and is unchanged.

  --export FILE     the export
  --keys FILE       the public key that "cpis keygen" printed, or a JWK Set
  --signature FILE  the signature (default: the name of the export with .jws)

Exit status: 0 valid, 1 not valid, 2 wrong usage.
`;

/** Runs `cpis verify-audit`. */
export async function verifyAudit(args: readonly string[], { stdout }: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    export: { type: 'string' },
    keys: { type: 'string' },
    signature: { type: 'string' },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  const file = required(values.export, '--export');
  const keys = readKeys(required(values.keys, '--keys'));
  const jws = readFileOf('--signature', values.signature ?? `${file}.jws`).toString('utf8');
  const claims = await verifyExport(jws, keys);
  if (claims === undefined) {
    stdout.write('not valid: the signature is by none of the keys\n');
    return 1;
  }
  if ((await hashOf(file)) !== claims.sha256) {
    stdout.write('not valid: the export was changed after it was signed\n');
    return 1;
  }
  stdout.write(`valid: ${claims.accesses} accesses, signed at ${claims.created}\n`);
  return 0;
}

function readKeys(file: string): JSONWebKeySet {
  try {
    const parsed = JSON.parse(readFileOf('--keys', file).toString('utf8'));
    const keys: unknown = parsed?.keys ?? [parsed];
    if (Array.isArray(keys) && keys.every((key) => typeof key?.kty === 'string' && key.d === undefined))
      return { keys };
  } catch (error) {
    if (error instanceof UsageError) throw error;
  }
  throw new UsageError('--keys: the file holds no public JWK, and no JWK Set of public keys.');
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new UsageError(`--export: cannot read the file ${file} (${code}).`);
  }
  return hash.digest('base64url');
}

import { readFileSync } from 'node:fs';
import { requirePrivate } from '../files/exposure.ts';
import { checkTls, type TlsOptions } from '../http/tls.ts';
import type { TlsFiles } from '../settings/listener.ts';
import { SettingsError } from '../settings/settings.ts';

/**
 * Reads the PEM files of the listener. Throws SettingsError if one cannot be read, or if they do not
 * belong together, and ExposedFileError if others can read the key.
 */
export function readTls({ certFile, keyFile, clientCaFile }: TlsFiles): TlsOptions {
  const cert = read('CPIS_TLS_CERT_FILE', certFile);
  requirePrivate(keyFile);
  const key = read('CPIS_TLS_KEY_FILE', keyFile);
  const options = {
    cert,
    key,
    ...(clientCaFile === undefined ? {} : { ca: read('CPIS_TLS_CLIENT_CA_FILE', clientCaFile) }),
  };
  try {
    checkTls(options);
  } catch {
    throw new SettingsError([
      'CPIS_TLS_CERT_FILE, CPIS_TLS_KEY_FILE: must hold a PEM certificate chain and its unencrypted private key; CPIS_TLS_CLIENT_CA_FILE: PEM certificates',
    ]);
  }
  return options;
}

function read(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new SettingsError([`${name}: cannot read the file`]);
  }
}

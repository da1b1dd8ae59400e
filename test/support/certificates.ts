import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** Returns why no certificates can be made here, or false. */
export function opensslMissing(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no openssl here to make certificates';
  }
}

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Makes a certificate authority in a folder, and certificates for 127.0.0.1 and for clients. */
export function openCertificateAuthority(folder: string, name = 'ca') {
  const path = (file: string): string => join(folder, file);
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  run('req', '-x509', ...curve, '-days', '2', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`);
  return {
    certFile: path(`${name}.pem`),
    cert: readFileSync(path(`${name}.pem`), 'utf8'),
    issue(subject: string): Certificate {
      const [certFile, keyFile] = [path(`${subject}.pem`), path(`${subject}.key`)];
      writeFileSync(path('names.cnf'), 'subjectAltName=IP:127.0.0.1\n');
      run('req', '-new', ...curve, '-subj', `/CN=${subject}`, '-keyout', keyFile, '-out', `${subject}.csr`);
      const by = ['-CA', `${name}.pem`, '-CAkey', `${name}.key`, '-CAcreateserial', '-days', '2'];
      run('x509', '-req', '-in', `${subject}.csr`, ...by, '-extfile', 'names.cnf', '-out', certFile);
      return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    },
  };
}

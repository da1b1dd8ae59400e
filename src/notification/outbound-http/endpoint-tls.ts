/**
 * Reads client certificates and certificate authorities for single endpoints, as authorities gave them to the operator.
 */
import { X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { Ajv } from 'ajv';
import { describeExposure } from '../../files/exposure.ts';

/** PEM texts. */
interface EndpointTls {
  readonly cert?: string;
  readonly key?: string;
  /** Replaces the bundled authorities. */
  readonly ca?: string;
}

/** By exact origin. */
export type EndpointTlsMap = ReadonlyMap<string, EndpointTls>;

interface Files {
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly caFile?: string;
}

const file = { type: 'string', minLength: 1, maxLength: 1000 };
const validate = new Ajv({ allErrors: true }).compile<Readonly<Record<string, Files>>>({
  type: 'object',
  maxProperties: 1000,
  additionalProperties: {
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    properties: { certFile: file, keyFile: file, caFile: file },
    dependencies: { certFile: ['keyFile'], keyFile: ['certFile'] },
  },
});

const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text && /^https:/.test(text);

/**
 * Reads the JSON file that names, for each https origin, `certFile` with `keyFile`, `caFile`, or all three. Paths are
 * relative to it. `problems` name files and no other value; use the map only if there are none.
 */
export function readEndpointTls(
  path: string,
  readText: (path: string) => string,
): { readonly tls: EndpointTlsMap; readonly problems: readonly string[] } {
  const tls = new Map<string, EndpointTls>();
  let parsed: unknown;
  try {
    parsed = JSON.parse(readText(path));
  } catch (error) {
    return { tls, problems: [error instanceof SyntaxError ? 'is not JSON' : 'the file cannot be read'] };
  }
  if (!validate(parsed)) {
    return { tls, problems: ['must be an object: for each origin certFile with keyFile, caFile, or all three'] };
  }
  const problems: string[] = [];
  for (const [index, [origin, files]] of Object.entries(parsed).entries()) {
    const place = `entry ${index + 1}`;
    if (!isOrigin(origin)) problems.push(`${place}: must be an exact https origin, without a slash at its end`);
    try {
      const read = (name: string | undefined) =>
        name === undefined ? undefined : readText(resolve(dirname(path), name));
      const exposed = files.keyFile && describeExposure(resolve(dirname(path), files.keyFile));
      if (exposed) problems.push(`${place}: ${exposed}`);
      const [cert, key, ca] = [read(files.certFile), read(files.keyFile), read(files.caFile)];
      const texts = {
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(ca === undefined ? {} : { ca }),
      };
      createSecureContext(texts);
      // Node would silently ignore an invalid certificate authority.
      if (ca !== undefined) new X509Certificate(ca);
      tls.set(origin, texts);
    } catch {
      problems.push(`${place}: a file cannot be read, or certificate and key do not belong together`);
    }
  }
  return { tls, problems };
}

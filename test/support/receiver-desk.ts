import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSignNotification } from '../../src/notification/outbound-http/sign-notification.ts';
import { type CpisProcess, environmentWithoutSettings, startCpis } from '../../src/synthetic/cpis-process.ts';
import { makeTempFolder, type Teardown } from './temp-folder.ts';

/** What the receivers ask for in the Authorization header. */
export const receiverAuthorization = 'Bearer a-secret';

/** A folder for `cpis receive`, which is started in it as a process, and somebody who signs and sends. */
export interface Desk {
  readonly folder: string;
  /** Signs what is sent; another one may take its place. */
  signing: KeyObject;
  publish(...keys: KeyObject[]): void;
  start(args?: readonly string[]): Promise<CpisProcess & { readonly endpoint: string; lines(): string[] }>;
  /** Gives the status, 0: no answer. */
  send(
    endpoint: string,
    body: unknown,
    more?: { method?: string; path?: string; headers?: Record<string, string>; id?: string },
  ): Promise<number>;
}

/** Opens a desk; its folder goes with the test, and its receivers do. */
export function openDesk(t: Teardown): Desk {
  const folder = makeTempFolder(t);
  writeFileSync(join(folder, 'authorization'), `${receiverAuthorization}\n`, { mode: 0o600 });
  const desk: Desk = {
    folder,
    signing: generateKeyPairSync('ed25519').privateKey,
    publish(...keys) {
      const jwks = { keys: keys.map((key) => createPublicKey(key).export({ format: 'jwk' })) };
      writeFileSync(join(folder, 'keys.json'), JSON.stringify(jwks));
    },
    async start(args = []) {
      const lines: Buffer[] = [];
      const child = await startCpis({
        args: [
          ...['receive', '--inbox', join(folder, 'inbox.sqlite'), '--authorization', join(folder, 'authorization')],
          ...['--keys', join(folder, 'keys.json'), '--port', '0', ...args],
        ],
        env: environmentWithoutSettings(),
        isReady: (output) => output.includes('listening at '),
        onStdout: (chunk) => lines.push(chunk),
      });
      t.teardown(() => child.kill());
      const endpoint = /listening at (\S+)/.exec(child.output())?.[1] ?? '';
      return { ...child, endpoint, lines: () => Buffer.concat(lines).toString().split('\n').filter(Boolean) };
    },
    async send(endpoint, body, { method = 'POST', path = '', headers = {}, id } = {}) {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const signingId = id ?? (body as { id?: string }).id ?? 'message-1';
      const flat = buildSignNotification([desk.signing], Date.now)({ id: signingId, secrets: [] }, text);
      const signed = Object.fromEntries(
        flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1] ?? '']] : [])),
      );
      try {
        const response = await fetch(`${endpoint}${path}`, {
          method,
          headers: {
            authorization: receiverAuthorization,
            'content-type': 'application/fhir+json',
            ...signed,
            ...headers,
          },
          body: text,
        });
        await response.arrayBuffer();
        return response.status;
      } catch {
        return 0;
      }
    },
  };
  desk.publish(desk.signing);
  return desk;
}

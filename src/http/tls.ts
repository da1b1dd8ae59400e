/** TLS in the process, and the client certificates of its connections. */
import { createHash } from 'node:crypto';
import { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';

/** PEM texts. */
export interface TlsOptions {
  readonly cert: string;
  readonly key: string;
  /** Certificate authorities of client certificates. Without them clients are asked for none. */
  readonly ca?: string;
}

const minVersion = 'TLSv1.2';
const thumbprints = new WeakMap<TLSSocket, string>();

/** Builds the options of an HTTPS server. A client may send no certificate; `cutUnverified` cuts off a bad one. */
export function buildHttpsOptions({ cert, key, ca }: TlsOptions, handshakeTimeoutMs: number) {
  const asked = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: false };
  return { cert, key, minVersion, handshakeTimeout: handshakeTimeoutMs, ...asked } as const;
}

/** Cuts off each connection whose client certificate none of the certificate authorities has issued. */
export function cutUnverified(server: object): void {
  if (!(server instanceof HttpsServer)) return;
  server.prependListener('secureConnection', (socket) => {
    if (!socket.authorized && socket.getPeerX509Certificate() !== undefined) socket.destroy();
  });
}

/** Throws unless certificate, key and authorities can be used together. */
export function checkTls({ cert, key, ca }: TlsOptions): void {
  createSecureContext({ cert, key, minVersion, ...(ca === undefined ? {} : { ca }) });
}

/** Uses other certificates and keys for new connections. */
export function replaceTls(server: object, options: TlsOptions): void {
  if (server instanceof HttpsServer) server.setSecureContext({ minVersion, ...options });
}

/** Returns the SHA-256 thumbprint (RFC 8705) of the verified client certificate of a connection, if it has one. */
export function certificateOf(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const known = thumbprints.get(socket);
  if (known !== undefined) return known;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const thumbprint = createHash('sha256').update(certificate.raw).digest('base64url');
  thumbprints.set(socket, thumbprint);
  return thumbprint;
}

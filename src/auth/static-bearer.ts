import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether an `Authorization` header carries this secret as its bearer token; takes the same time for every wrong one. */
export function hasBearerSecret(authorization: string | undefined, secret: string): boolean {
  const [, token] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
  return token !== undefined && timingSafeEqual(hash(token), hash(secret));
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

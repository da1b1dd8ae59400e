import { createServer, type Socket } from 'node:net';
import { BSON } from 'mongodb';
import type { Teardown } from './running-server.ts';

const headerBytes = 16;
const opReply = 1;
const opQuery = 2004;
const opMessage = 2013;

const hello = {
  ismaster: true,
  helloOk: true,
  isWritablePrimary: true,
  setName: 'rs0',
  minWireVersion: 0,
  maxWireVersion: 21,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  logicalSessionTimeoutMinutes: 30,
  saslSupportedMechs: ['SCRAM-SHA-256'],
  ok: 1,
};
const notAuthenticated = { ok: 0, code: 18, codeName: 'AuthenticationFailed', errmsg: 'Authentication failed.' };

/** Says hello as a MongoDB server does and refuses whoever authenticates. Gives its port. */
export async function openRefusingMongo(t: Teardown): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    socket
      .on('error', () => undefined)
      .on('data', (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        while (rest.length >= headerBytes && rest.length >= rest.readInt32LE(0)) {
          const length = rest.readInt32LE(0);
          socket.write(answer(rest.subarray(0, length)));
          rest = rest.subarray(length);
        }
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function answer(request: Buffer): Buffer {
  const isQuery = request.readInt32LE(12) === opQuery;
  // The query of an old hello stands behind the name of its collection and two numbers.
  const start = isQuery ? request.indexOf(0, headerBytes + 4) + 1 + 8 : headerBytes + 5;
  const [command] = Object.keys(BSON.deserialize(request.subarray(start, start + request.readInt32LE(start))));
  const isHello = command === 'hello' || command === 'ismaster' || command === 'isMaster';
  const body = BSON.serialize(isHello ? hello : notAuthenticated);
  const before = isQuery ? Buffer.alloc(20) : Buffer.alloc(5);
  if (isQuery) before.writeInt32LE(1, 16);
  const header = Buffer.alloc(headerBytes);
  header.writeInt32LE(headerBytes + before.length + body.length, 0);
  header.writeInt32LE(request.readInt32LE(4), 8);
  header.writeInt32LE(isQuery ? opReply : opMessage, 12);
  return Buffer.concat([header, before, body]);
}

import { createServer } from 'node:net';

const firstPort = 20_000;
const portCount = 12_000;
const maxAttempts = 50;

/**
 * Returns a port of `host` that nothing listens on. It lies below the range that operating systems give to outgoing
 * connections, so that a client that retries while the server is down is not given the server's own port. Rejects with the
 * error of listen(2) if it has another cause than the port.
 */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const port = firstPort + Math.floor(Math.random() * portCount);
    if (await isFree(port, host)) return port;
  }
  throw new Error(`No free port was found on ${host} after ${maxAttempts} attempts.`);
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

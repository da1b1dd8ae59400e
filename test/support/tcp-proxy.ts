import { connect, createServer, type Socket } from 'node:net';
import type { Teardown } from './running-server.ts';

/**
 * `pass`: passes both ways. `lose-answers`: passes the request, and closes the connection instead of passing the next answer.
 * `hold`: passes nothing. `cut`: closes all connections and accepts none. `slow`: delays answers.
 */
type ProxyMode = 'pass' | 'lose-answers' | 'hold' | 'cut' | 'slow';

const slowMs = 2_000;

export interface TcpProxy {
  readonly port: number;
  /** Sets the mode now, or from the first request for which `when` returns true. */
  set(mode: ProxyMode, when?: (request: Buffer) => boolean): void;
  /** Number of lost answers. */
  readonly lost: number;
}

/** Opens a proxy for a TCP server on this machine that imitates the faults of a network. */
export async function openTcpProxy(t: Teardown, targetPort: number): Promise<TcpProxy> {
  let mode: ProxyMode = 'pass';
  let next: { readonly mode: ProxyMode; readonly when: (request: Buffer) => boolean } | undefined;
  let lost = 0;
  const open = new Set<Socket>();
  const server = createServer((inner) => {
    if (mode === 'cut') {
      inner.destroy();
      return;
    }
    const outer = connect(targetPort, '127.0.0.1');
    let loses = false;
    for (const socket of [inner, outer]) {
      open.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => {
          open.delete(socket);
          inner.destroy();
          outer.destroy();
        });
    }
    inner.on('data', (request: Buffer) => {
      if (next?.when(request)) {
        mode = next.mode;
        next = undefined;
        loses = mode === 'lose-answers';
      }
      if (mode !== 'hold') outer.write(request);
    });
    outer.on('data', (answer: Buffer) => {
      if (mode === 'hold') return;
      if (mode === 'slow') {
        setTimeout(() => inner.destroyed || inner.write(answer), slowMs);
        return;
      }
      if (!loses) {
        inner.write(answer);
        return;
      }
      lost += 1;
      loses = false;
      mode = 'pass';
      inner.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    set(newMode, when) {
      if (when === undefined) {
        mode = newMode;
        if (mode === 'cut') for (const socket of open) socket.destroy();
      } else next = { mode: newMode, when };
    },
    get lost() {
      return lost;
    },
  };
}

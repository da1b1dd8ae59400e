import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A child process that responds to each message with one message. */
export interface Child {
  readonly pid: number;
  ask<Answer>(question: object): Promise<Answer>;
  close(): void;
}

/** Starts a script in this folder. */
export function startChild(script: string): Child {
  const child: ChildProcess = fork(fileURLToPath(new URL(script, import.meta.url)), { stdio: 'inherit' });
  return {
    pid: child.pid ?? 0,
    ask<Answer>(question: object) {
      return new Promise<Answer>((resolve, reject) => {
        const fail = (code: number | null): void => reject(new Error(`${script} ended with ${code}`));
        child.once('exit', fail);
        child.once('message', (answer) => {
          child.off('exit', fail);
          resolve(answer as Answer);
        });
        child.send(question);
      });
    },
    close: () => child.disconnect(),
  };
}

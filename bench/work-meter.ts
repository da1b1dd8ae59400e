/**
 * Preloaded into the server: notes the most processor time between two rounds of its event loop. Other load on the
 * machine does not lengthen it. SIGWINCH writes it to the file of BENCH_WORK_FILE, and starts again.
 */
import { renameSync, writeFileSync } from 'node:fs';

const file = process.env['BENCH_WORK_FILE'];
if (file !== undefined) {
  const spentMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let lastMs = spentMs();
  let mostMs = 0;
  setInterval(() => {
    const nowMs = spentMs();
    mostMs = Math.max(mostMs, nowMs - lastMs);
    lastMs = nowMs;
  }, 1).unref();
  process.on('SIGWINCH', () => {
    writeFileSync(`${file}.new`, String(mostMs));
    renameSync(`${file}.new`, file);
    mostMs = 0;
  });
}

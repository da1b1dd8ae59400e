/** A worker thread: another client, which asks for one small response after another and notes the longest wait. */
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const port = parentPort;
if (port === null) throw new Error('probe-thread.ts must run as a worker');

const { hostname, port: target } = new URL(workerData as string);
const socket = connect(Number(target), hostname);
let askedMs = 0;
let longestMs = 0;
let stopping = false;

function ask(): void {
  askedMs = performance.now();
  socket.write('GET /health/live HTTP/1.1\r\nHost: probe\r\n\r\n');
}

socket.setNoDelay(true);
socket.on('connect', ask);
socket.on('data', () => {
  longestMs = Math.max(longestMs, performance.now() - askedMs);
  if (stopping) {
    port.postMessage(longestMs);
    longestMs = 0;
    stopping = false;
  }
  setTimeout(ask, 1);
});
/** Any message asks for the longest wait since the last one. The response that is awaited counts. */
port.on('message', () => {
  stopping = true;
});

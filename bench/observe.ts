/** Observes the server from outside: its metrics, its rows on disk and its memory. */
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { MongoClient } from 'mongodb';
import type { ServerHome } from '../test/support/server-process.ts';

/** The bearer secret of /metrics in the bench. */
export const metricsToken = 'bench-metrics-secret';

export interface Batches {
  /** Number of transactions, each with one fsync. */
  readonly batches: number;
  /** Number of operations in them. */
  readonly operations: number;
}

export async function readBatches(home: ServerHome): Promise<Batches> {
  const response = await fetch(`${home.origin}/metrics`, { headers: { authorization: `Bearer ${metricsToken}` } });
  const text = await response.text();
  return {
    batches: metricOf(text, 'cpis_store_batch_operations_count'),
    operations: metricOf(text, 'cpis_store_batch_operations_sum'),
  };
}

function metricOf(text: string, name: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  if (line === undefined) throw new Error(`the server publishes no metric ${name}`);
  return Number(line.slice(name.length + 1));
}

export interface RowCounts {
  readonly lookupAudits: number;
  /** Rows of AuditEvents, their keys and their deliveries. */
  readonly all: number;
}

/** Counts the content of the store through its own connection: rows, or AuditEvents with their deliveries inside. */
export async function countRows({ settings, storeFile }: ServerHome): Promise<RowCounts> {
  const url = settings['CPIS_MONGODB_URL'];
  return url === undefined ? countSqlite(storeFile) : countMongo(url);
}

async function countMongo(url: string): Promise<RowCounts> {
  const client = new MongoClient(url);
  try {
    const audit = client.db().collection('audit');
    const lookupAudits = await audit.countDocuments({ subtype: 'search-type', outcome: '0' });
    return { lookupAudits, all: await audit.countDocuments({}) };
  } finally {
    await client.close();
  }
}

function countSqlite(storeFile: string): RowCounts {
  const db = new DatabaseSync(storeFile, { readOnly: true });
  try {
    const count = (sql: string): number => Number(db.prepare(`SELECT count(*) AS n FROM ${sql}`).get()?.['n']);
    const lookupAudits = count("audit WHERE subtype = 'search-type' AND outcome = '0'");
    return { lookupAudits, all: count('audit') + count('audit_key') + count('delivery') };
  } finally {
    db.close();
  }
}

/** Returns the resident memory of a process in MB. */
export function readRss(pid: number): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kilobytes) / 1024);
}

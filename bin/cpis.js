#!/usr/bin/env node
import { fileURLToPath } from 'node:url';

// This file is plain JavaScript, so that an older Node can run it and print the message.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  process.stderr.write(
    `cpis needs Node 24.12 or newer; this is ${process.version}.\n` +
      'Start it with "npm start" or "npx cpis", which use the Node 24 that "npm ci" installs.\n',
  );
  process.exit(2);
}
// Caches the compiled modules for a faster start. The cache is code, so it is kept beside the code and not in a folder that
// others may write to. If it cannot be written, a start takes longer.
const { enableCompileCache, flushCompileCache } = await import('node:module');
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/cpis', import.meta.url)));
const { main } = await import('../src/cli/main.ts');
await main(process.argv.slice(2));
flushCompileCache();

#!/usr/bin/env node
import { fileURLToPath } from 'node:url';

// Plain JavaScript, so that an older Node still says in words what is missing.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  process.stderr.write(
    `cpis needs Node 24.12 or newer; this is ${process.version}.\n` +
      'Start it with "npm start" or "npx cpis": npm ci has installed Node 24 for them.\n',
  );
  process.exit(2);
}
// Modules are stripped of their types and compiled once, not at each start. The cache is code, so it lies where the code
// lies and not in a folder that others may write to; where it cannot be written, a start takes longer.
const { enableCompileCache, flushCompileCache } = await import('node:module');
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/cpis', import.meta.url)));
const { main } = await import('../src/cli/main.ts');
await main(process.argv.slice(2));
flushCompileCache();

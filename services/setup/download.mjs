// download.mjs URL FILE: runs on any Node since 18, because a bare machine has an old node but perhaps no curl.
import { writeFile } from 'node:fs/promises';

const [url, file] = process.argv.slice(2);
const LIMIT_MS = 120_000; // for all of it; a host that cannot be reached is given up after 10 s by fetch itself

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  await writeFile(file, Buffer.from(await response.arrayBuffer()));
} catch (error) {
  console.error(`${new URL(url).host} did not give it: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}

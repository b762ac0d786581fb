// From an export to a host that stands again: wall time of `cnm replay EXPORT -- true`, process start to exit, for 300 endpoints on two
// bridges. Prints one line of JSON; the slowest run counts.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { writeExport } from '../test/support/export-file.ts';
import { MemoryMachine, memoryKernel } from '../test/support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../test/support/system.ts';
import { median, printResult, round } from './lib.ts';

const ENDPOINTS = 300;
const NETWORKS = ['a', 'b'] as const;
const RUNS = 5;
const WANTED_MS = 3_000;
const restMs = 6_000;

const launcher = join(import.meta.dirname, '../services/cli/cnm');

const record = async (file: string): Promise<number> => {
  const streams = memoryStreams();
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const system = await new System({ ...streams, kernel, runDir: '/run/cnm' }).start();
  for (const name of NETWORKS) await system.run('CreateNetwork', { name });
  const attach = (index: number) => {
    const networks = [{ network: NETWORKS[index % NETWORKS.length] ?? 'a' }];
    return system.run('AttachSandbox', { sandbox: `s${index}`, networks });
  };
  await Promise.all(Array.from({ length: ENDPOINTS }, (_, index) => attach(index)));
  await system.quiet();
  await system.stop();
  await writeExport(streams.log, file);
  return streams.log.last();
};

const folder = mkdtempSync(join(tmpdir(), 'cnm-bench-'));
try {
  const file = join(folder, 'export');
  const messages = await record(file);
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const startMs = performance.now();
    const { status, stderr } = spawnSync(launcher, ['replay', file, '--strict', '--', 'true'], { encoding: 'utf8' });
    times.push(performance.now() - startMs);
    if (status !== 0 || !stderr.includes(`${ENDPOINTS} sandboxes`)) throw new Error(`replay: ${status}: ${stderr}`);
    // What the last run has left is torn down behind it: some 3 s for 300, which the slab's count does not show reliably (lib.ts).
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  const slowestMs = round(Math.max(...times), 0);
  printResult({
    endpoints: ENDPOINTS,
    networks: NETWORKS.length,
    messages,
    exportBytes: statSync(file).size,
    runs: RUNS,
    medianMs: round(median(times), 0),
    slowestMs,
    wantedMs: WANTED_MS,
    met: slowestMs <= WANTED_MS,
  });
} finally {
  rmSync(folder, { recursive: true });
}

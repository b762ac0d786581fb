// Runs the tests, tier by tier from the quick to the slow: `node test/run.ts [TIER]...`. Compact: failures in full, the
// rest as counts. Exits with 1 when a test failed and, where CI=true, when one was skipped.
import { spawnSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { basename, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { inspect } from 'node:util';

interface Tier {
  readonly timeoutMs: number;
  readonly filesAtOnce: number;
  readonly kernel?: true; // needs namespaces of its own
  readonly first?: readonly string[]; // takes longest: what others wait for at the end is begun at once
}

const tiers: Readonly<Record<string, Tier>> = {
  unit: { timeoutMs: 400_000, filesAtOnce: 2 },
  property: { timeoutMs: 900_000, filesAtOnce: 2 },
  contract: { timeoutMs: 400_000, filesAtOnce: 2 },
  integration: { timeoutMs: 900_000, filesAtOnce: 2 },
  kernel: { timeoutMs: 1_500_000, filesAtOnce: 2, kernel: true, first: ['proofs', 'driver-linux', 'macvlan-traffic'] },
  e2e: { timeoutMs: 2_000_000, filesAtOnce: 2, kernel: true, first: ['watch', 'mesh', 'crash'] },
};

/** Of one test, or one group of them: whatever waits longer waits for nothing, and is named. */
const testTimeoutMs = 900_000;
const slowestTold = 8;
const counts = { passed: 0, failed: 0, skipped: 0 };

function fail(what: string, detail = ''): void {
  counts.failed += 1;
  console.log(`  FAILED ${what}${detail && `\n${detail.replaceAll(/^/gm, '    ')}`}`);
}

function skip(what: string, reason: string | boolean | undefined): void {
  counts.skipped += 1;
  console.log(`  skipped ${what}: ${reason || 'no reason given'}`);
}

/** Which files a tier spends its time in: seconds of their tests, the longest first. */
function tellSlowest(took: ReadonlyMap<string, number>): void {
  const slowest = [...took].sort(([, a], [, b]) => b - a).slice(0, slowestTold);
  const told = slowest.map(([file, ms]) => `${relative('test', file)} ${Math.round(ms / 1000)}`);
  console.log(`  longest: ${told.join(', ')} s`);
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended
  }
};

/** Processes that this one has started, and those that they have: by number, with what each waits for in the kernel. */
function descendants(): ReadonlyMap<number, string> {
  const parents = new Map<number, number>();
  for (const pid of readdirSync('/proc').map(Number)) {
    const parent = /^PPid:\s+(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1];
    if (parent !== undefined) parents.set(pid, Number(parent));
  }
  const isOurs = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === process.pid || isOurs(parents.get(pid)));
  const ours = [...parents.keys()].filter((pid) => pid !== process.pid && isOurs(pid));
  const told = (pid: number): string => {
    const state = /^State:\s+(.+)$/m.exec(read(`/proc/${pid}/status`))?.[1];
    return `${state} ${read(`/proc/${pid}/wchan`)} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 200)}`;
  };
  return new Map(ours.map((pid) => [pid, told(pid)]));
}

/** Ends what a tier has left when its time is over: a process that hangs heeds no signal that asks. */
function endAll(): void {
  for (const [pid, what] of descendants()) {
    console.log(`  still there: ${pid} ${what}`);
    try {
      process.kill(pid, 'SIGKILL');
    } catch {} // it has ended
  }
}

async function runFiles(files: string[], tier: Tier): Promise<void> {
  const timeoutMs = Number(process.env.CNM_TEST_TIER_MS ?? tier.timeoutMs);
  // what a file printed matters only when it failed
  const printed = new Map<string, string>();
  const failed = new Set<string>();
  const took = new Map<string, number>();
  // the timeout reaches each test that lets others run; what holds its process ends with the tier's time
  const over = new AbortController();
  const timer = setTimeout(() => {
    endAll();
    over.abort();
  }, timeoutMs);
  const events = run({ files, concurrency: tier.filesAtOnce, signal: over.signal, timeout: testTimeoutMs });
  for await (const { type, data } of events) {
    const where = 'file' in data && data.file ? `${relative('.', data.file)}:${'line' in data ? data.line : ''}` : '';
    if (type === 'test:stdout' || type === 'test:stderr') {
      printed.set(data.file, (printed.get(data.file) ?? '') + data.message);
    } else if (type === 'test:complete' && data.nesting === 0 && data.file) {
      took.set(data.file, (took.get(data.file) ?? 0) + data.details.duration_ms);
    } else if (type === 'test:diagnostic' && where) {
      console.log(`  note ${where} ${data.message}`);
    } else if (type === 'test:pass') {
      if (data.skip !== undefined || data.todo !== undefined) skip(`${where} ${data.name}`, data.skip ?? data.todo);
      else if (data.name === data.file) fail(`${where} has no tests`);
      else if (data.details.type !== 'suite') counts.passed += 1;
    } else if (type === 'test:fail') {
      const error = data.details.error as Error & { failureType?: string; exitCode?: number; signal?: string };
      failed.add(data.file ?? '');
      if (error.failureType === 'testAborted')
        fail(where, `unfinished when the tier's ${timeoutMs / 1000} s were over`);
      else if (data.name === data.file) fail(where, `its process ended with ${error.signal ?? error.exitCode}`);
      else if (error.failureType !== 'subtestsFailed') fail(`${where} ${data.name}`, inspect(error.cause ?? error));
    }
  }
  clearTimeout(timer);
  tellSlowest(took);
  for (const file of failed) {
    if (printed.has(file)) console.log(`  printed by ${relative('.', file)}:\n${printed.get(file)}`);
  }
}

async function runTier(name: string, tier: Tier): Promise<void> {
  const isFirst = (file: string): boolean => tier.first?.includes(basename(file, '.test.ts')) === true;
  const found = globSync(`test/${name}/**/*.test.ts`).map((file) => resolve(file));
  const files = [...found.filter(isFirst), ...found.filter((file) => !isFirst(file))];
  console.log(`${name}: ${files.length} files`);
  if (files.length === 0) return fail(`test/${name}`, 'a tier without tests proves nothing');
  if (tier.kernel && spawnSync('unshare', ['--net', 'true']).status !== 0) {
    for (const file of files) skip(relative('.', file), 'no network namespace can be made here, which takes root');
    return;
  }
  const start = performance.now();
  await runFiles(files, tier);
  console.log(`  ${Math.round((performance.now() - start) / 1000)} s`);
}

// Each of some hundred processes would compile the same modules anew, which is half of what a quick file takes.
process.env.NODE_COMPILE_CACHE ??= resolve('.cache/compiled');

const asked = process.argv.slice(2);
for (const name of asked.length > 0 ? asked : Object.keys(tiers)) {
  const tier = tiers[name];
  if (tier) await runTier(name, tier);
  else fail(name, `is no tier; there are ${Object.keys(tiers).join(', ')}`);
}
const skipsCount = process.env.CI === 'true' && counts.skipped > 0;
if (skipsCount) console.log('skipped tests fail the run, because CI=true');
console.log(
  `${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`,
);
process.exit(counts.failed > 0 || skipsCount ? 1 : 0);

// Ends processes at every failpoint: `npm run sweep [-- --layout up|apart] [--match PATTERN] [--times N]`. Each failpoint at up to N of the
// times that it is passed (3), in one process for all services or in one each. Exits with 1 when something was lost or left.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

interface Said {
  readonly points?: number;
  readonly index?: number;
  readonly point?: string;
  readonly died?: boolean | readonly string[];
  readonly wrong?: string;
  readonly said?: string;
  readonly slowestMs?: number;
}

const { values } = parseArgs({
  options: {
    layout: { type: 'string', default: 'up' },
    match: { type: 'string', default: '' },
    times: { type: 'string', default: '3' },
    skip: { type: 'string', default: '0' },
  },
});

const unreached: string[] = [];
const wrong: string[] = [];
let [points, at, done, slowestMs] = [Number.POSITIVE_INFINITY, Number(values.skip), 0, 0];

const note = (said: Said): void => {
  if (said.points !== undefined) points = said.points;
  if (said.slowestMs !== undefined) slowestMs = Math.max(slowestMs, said.slowestMs);
  if (said.index !== undefined) at = said.index + 1;
  if (said.wrong !== undefined) {
    wrong.push(said.point ?? 'before the first point');
    console.log(`WRONG ${said.point ?? ''} (ended at ${String(said.died)})\n${said.wrong}\n${said.said}`);
  } else if (said.point !== undefined) {
    if (said.died === false) unreached.push(said.point);
    else done++;
    console.log(`${at}/${points} ${said.died === false ? 'not reached' : 'ended'} ${said.point}`);
  }
};

while (at < points) {
  const before = at;
  const argv = [join(import.meta.dirname, 'segment.ts'), values.layout, values.match, values.times, String(at)];
  // with a namespace of pids: whatever was started ends with it
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...own, process.execPath, ...argv], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = (): never => {
    child.kill('SIGKILL');
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  for await (const line of createInterface({ input: child.stdout })) note(JSON.parse(line) as Said);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop);
  if (at === before && points > at) {
    wrong.push('a stretch that came nowhere');
    break;
  }
}
console.log(
  `${done} points ended at, ${unreached.length} not reached, ${wrong.length} wrong; slowest recovery ${(slowestMs / 1000).toFixed(1)} s`,
);
for (const point of unreached) console.log(`  not reached: ${point}`);
process.exitCode = wrong.length > 0 ? 1 : 0;

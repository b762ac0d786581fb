/** Open streams and echoes between sandboxes that go on whatever happens to us, and whether they noticed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface SteadyMember {
  /** File of its namespace. */
  readonly key: string;
  readonly address: string;
}

export interface SteadyReport {
  readonly streams: number;
  /** Messages on all streams; each has to come back. */
  readonly said: number;
  readonly dropped: readonly string[];
  readonly unanswered: readonly string[];
  readonly pings: number;
  readonly lost: readonly string[];
  readonly slowestMs: number;
  /** Netlink sockets that watched, and how many notices the kernel could not hand them. */
  readonly monitors: number;
  readonly lostNotices: number;
  /** What the kernel said was deleted: links, addresses, routes, rules, permanent forwarding entries, and of nf_tables. */
  readonly deletes: readonly string[];
}

export interface Steady {
  /** Ends it, and waits for what is still on its way. */
  end(): Promise<SteadyReport>;
  /** Without a report. */
  kill(): void;
}

/** Resolves once every stream is open and everybody has answered. @param outside what is published of the first member */
export const startSteady = async (
  members: readonly SteadyMember[],
  outside: readonly { readonly address: string; readonly port: number }[] = [],
): Promise<Steady> => {
  const child = spawn('python3', [join(import.meta.dirname, 'steady.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const closed = once(child, 'close').finally(() => process.removeListener('exit', kill));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<object> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`steady.py ended with ${(await closed)[0]}`);
    return JSON.parse(value);
  };
  child.stdin.write(`${JSON.stringify({ members, outside })}\n`);
  await line();
  return {
    kill: () => void kill(),
    end: async () => {
      child.stdin.end('end\n');
      const report = (await line()) as SteadyReport;
      await closed;
      return report;
    },
  };
};

/** The driver `fabric` of test/e2e/fabric.py, a program of somebody else, as a process of its own. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { end, waitFor } from './nats.ts';

/** What docs/protocol.md grants to a worker and to a reader of the log (Permissions), of the host `fab-1`. */
const granted = {
  publish: [
    'cnm.outcome.fab-1',
    'cnm.lease.worker.fab-1',
    'cnm.command.worker=3Afab-1.fab-1',
    '$JS.API.DIRECT.GET.CNM_LOG',
    '$JS.API.DIRECT.GET.CNM_LOG.>',
    '$JS.API.CONSUMER.CREATE.CNM_LOG.>',
    '$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.>',
  ],
  subscribe: ['_INBOX.>', 'cnm.reply.worker=3Afab-1.*'],
};
/** Users `ours`, and `fabric` with no more than that; their passwords are their names. */
export const fabricUsers = `authorization { users: [
  { user: ours, password: ours }
  { user: fabric, password: fabric, permissions: ${JSON.stringify(granted)} }
] }`;

export interface FabricProcess {
  readonly pid: number;
  /** What it has printed of a kind, in order. */
  said(event: string): readonly Readonly<Record<string, unknown>>[];
  /** Resolves when it has printed so many lines of a kind. */
  saying(event: string, count?: number): Promise<void>;
  /** Its exit code, or the signal that ended it. */
  readonly gone: Promise<number | NodeJS.Signals>;
  kill(): Promise<void>;
}

export interface FabricOptions {
  readonly url: string;
  /** Name of its host. */
  readonly host: string;
  /** The file that is the fabric. */
  readonly state: string;
  /** More words of its command line. */
  readonly words?: readonly string[];
}

const script = join(import.meta.dirname, '../e2e/fabric.py');
const SERVING_MS = 30_000;

/** Starts it; resolves when it serves, or has ended. */
export const startFabric = async ({ url, host, state, words = [] }: FabricOptions): Promise<FabricProcess> => {
  const { hostname, port, username, password } = new URL(url);
  const login = username === '' ? [] : ['--login', `${username}:${password}`];
  const argv = [script, hostname, port, '--name', host, '--state', state, ...login, ...words];
  const child = spawn('python3', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    err += text;
  });
  let ended = false;
  const gone = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => {
      ended = true;
      resolve(code ?? signal ?? -1);
    }),
  );
  const said = (event: string) =>
    out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
      .filter((line) => line.event === event);
  const saying = (event: string, count = 1) =>
    waitFor(() => said(event).length >= count || ended, { what: `fabric to say ${event}`, timeoutMs: SERVING_MS });
  await saying('serving');
  if (ended && err !== '') throw new Error(`fabric ended: ${err}`);
  return { pid: child.pid ?? 0, said, saying, gone, kill: () => end(child, 'SIGKILL') };
};

export interface FabricState {
  /** Options by id. */
  readonly networks: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** By the endpoint's id; the sandbox is its incarnation. */
  readonly ports: Readonly<Record<string, { readonly network: string; readonly sandbox: string | null }>>;
}

/** What is in the fabric now. */
export const fabricState = (file: string): FabricState =>
  existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { networks: {}, ports: {} };

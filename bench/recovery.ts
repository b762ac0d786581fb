/**
 * How long it takes from `kill -9` of everything, nats-server too, until all is as it should be: the same host with ENDPOINTS sandboxes, once with
 * nothing under way, once in the middle of attaches, detaches and changes by others. The clock runs from the start of the new processes until the
 * census of the kernel equals the projection of the log, with nothing open; `servedMs` is until an attach that was sent meanwhile is done.
 * Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     recovery.ts [ENDPOINTS] [ROUNDS]
 */
import { performance } from 'node:perf_hooks';
import { type Client, connect } from '../services/client/index.ts';
import { makePlace } from '../test/e2e/cli-harness.ts';
import { Observer } from '../test/support/crash/observe.ts';
import { LogRecord } from '../test/support/crash/record.ts';
import { startNats, waitFor } from '../test/support/nats.ts';
import { ipLinks, sh } from '../test/support/netns.ts';
import { type ServiceProcess, startProcess } from '../test/support/service-process.ts';
import { median, printResult, round } from './lib.ts';

const endpoints = Number(process.argv[2] ?? 100);
const rounds = Number(process.argv[3] ?? 10);
const underWay = 40;
const wantedMs = 10_000;
const names = ['worker', 'controller', 'projector', 'collector'] as const;
const realm = 'e2e';

// servers of tests keep no process alive
const awake = setInterval(() => undefined, 60_000);
const place = makePlace();
const nats = await startNats();
const env = { ...place.env, CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_LOG_LEVEL: 'error' };
const running = new Map<string, ServiceProcess>();
const start = async (): Promise<void> => {
  await Promise.all(names.map(async (name) => running.set(name, await startProcess(['serve', name], env))));
};
const killAll = async (): Promise<void> => {
  await Promise.all([nats.kill(), ...[...running.values()].map((one) => one.end('SIGKILL'))]);
};

await start();
const client = await connect({ url: nats.url, actor: 'scheduler' });
const log = new LogRecord(await nats.connect(), 'scheduler');
const observer = new Observer(realm, `${place.env.CNM_RUN_DIR}/${realm}-h1`);
const attach = (who: Client, sandbox: string) => who.attachSandbox({ sandbox, networks: [{ network: 'web' }] });
const ended = async (accepted: ReturnType<typeof attach>): Promise<void> => void (await (await accepted).outcome);
const agrees = (): boolean =>
  log.state.intents.size === 0 && log.state.progress.size === 0 && observer.disagreement(log).length === 0;

await (await client.createNetwork({ name: 'web', ipam: { subnets: [{ subnet: '10.60.0.0/22' }] } })).outcome;
for (let at = 0; at < endpoints; at++) await ended(attach(client, `s${at}`));

interface Round {
  readonly agreesMs: number;
  readonly servedMs: number;
}

/** @param begun resolves when all that was begun before is told to have ended */
const recover = async (sandbox: string, begun: () => Promise<unknown>): Promise<Round> => {
  const open = begun();
  await new Promise((resolve) => setTimeout(resolve, 30));
  await killAll();
  const startMs = performance.now();
  const serving = ended(attach(client, sandbox)).then(() => performance.now() - startMs);
  await nats.restart();
  await start();
  const servedMs = await serving;
  await open;
  await waitFor(agrees, { what: 'kernel and log to agree', timeoutMs: 60_000 });
  const agreesMs = performance.now() - startMs;
  await (await client.detachSandbox({ sandbox })).outcome;
  return { agreesMs, servedMs };
};

/** Attaches, and detaches of what was there, which are made good again afterwards; and somebody takes links down. */
const busy = async (): Promise<unknown> => {
  const numbers = Array.from({ length: underWay / 2 }, (_, at) => at);
  const down = ipLinks()
    .filter(({ ifname }) => ifname.startsWith('cv'))
    .slice(-5);
  const sent = numbers.flatMap((at) => [
    ended(attach(client, `new${at}`)),
    client.detachSandbox({ sandbox: `s${at}` }).then(({ outcome }) => outcome),
  ]);
  sh(down.map(({ ifname }) => `ip link set ${ifname} down 2>/dev/null || true`).join('\n'));
  return Promise.all(sent);
};
const asBefore = async (): Promise<void> => {
  const numbers = Array.from({ length: underWay / 2 }, (_, at) => at);
  await Promise.all(
    numbers.flatMap((at) => [
      ended(attach(client, `s${at}`)),
      client.detachSandbox({ sandbox: `new${at}` }).then(({ outcome }) => outcome),
    ]),
  );
};

const shown = (taken: readonly Round[]) => {
  const agreed = taken.map(({ agreesMs }) => agreesMs);
  return {
    rounds: taken.length,
    agreesP50Ms: round(median(agreed), 0),
    agreesMostMs: round(Math.max(...agreed), 0),
    servedP50Ms: round(median(taken.map(({ servedMs }) => servedMs)), 0),
    servedMostMs: round(Math.max(...taken.map(({ servedMs }) => servedMs)), 0),
    met: Math.max(...agreed) <= wantedMs,
  };
};

const [quiet, amidst]: [Round[], Round[]] = [[], []];
for (let at = 0; at < rounds; at++) {
  quiet.push(await recover(`quiet${at}`, async () => undefined));
  amidst.push(await recover(`amidst${at}`, busy));
  await asBefore();
}
observer.close();
await log.close();
await client.close();
await Promise.all([...running.values()].map((one) => one.end('SIGKILL')));
await nats.stop();
place.remove();
printResult({ endpoints, underWay, wantedMs, quiet: shown(quiet), amidst: shown(amidst) });
clearInterval(awake);

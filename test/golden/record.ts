/**
 * Records golden samples from a real run: server, services and kernel. What is there already is kept, since samples of a released
 * version never change; delete a file to have it recorded anew. Needs root and namespaces of its own:
 *
 *     unshare --net --mount node test/golden/record.ts
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { Answer } from '../../events/queries.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { readConfig } from '../../services/lib/config.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { provision } from '../../services/nats/streams.ts';
import { startService } from '../../services/up/services.ts';
import { startNats, waitFor } from '../support/nats.ts';
import { recordDrift } from './record-drift.ts';
import { recordLoad } from './record-load.ts';

const runDir = '/run/cnm';

const keepText = (folder: string, name: string, text: string): void => {
  const directory = join(import.meta.dirname, folder);
  const file = join(directory, name);
  mkdirSync(directory, { recursive: true });
  if (!existsSync(file)) writeFileSync(file, text);
};

const keep = (folder: string, name: string, value: unknown): void =>
  keepText(folder, `${name}.json`, `${JSON.stringify(value, null, 2)}\n`);

const headersOf = (message: Msg): readonly (readonly [string, string])[] =>
  [...(message.headers ?? [])].map(([name, values]) => [name, values.join(', ')] as const);

const ip = (...args: string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
};

/** A machine like any other inside the namespaces: loopback, an uplink, a tmpfs for what lives until the next boot. */
const prepareMachine = (): void => {
  execFileSync('mount', ['--make-rprivate', '/']);
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'uplink0', 'type', 'veth', 'peer', 'name', 'uplink1');
  ip('addr', 'add', '192.0.2.10/24', 'dev', 'uplink0');
  for (const end of ['uplink0', 'uplink1']) ip('link', 'set', end, 'up');
};

/** Sends commands over a bare connection, and gathers what comes back. */
class Sender {
  readonly #connection: NatsConnection;
  readonly #answers = new Map<string, Answer[]>();
  #count = 0;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    connection.subscribe('cnm.reply.alice.*', {
      callback: (_, message) => {
        const answer = message.json<Answer>();
        this.#answers.set(answer.commandid, [...(this.#answers.get(answer.commandid) ?? []), answer]);
      },
    });
  }

  async publish(
    body: { readonly id: string; readonly type: string; readonly data: unknown },
    host: string | null = null,
  ): Promise<void> {
    const ack = await this.#connection.request(subjects.command('alice', host), JSON.stringify(body));
    keep('wire', 'puback', ack.json());
  }

  /** The answers to a command: the first one, or both when it is to be ended. */
  async answers(id: string, count: 1 | 2): Promise<readonly Answer[]> {
    await waitFor(() => (this.#answers.get(id)?.length ?? 0) >= count, { what: `${count} answers to ${id}` });
    return this.#answers.get(id) ?? [];
  }

  async send<T extends CommandType>(type: T, data: CommandInput<T>, more: object = {}): Promise<readonly Answer[]> {
    const id = commandId(systemClock.nowMs(), `req${++this.#count}`);
    await this.publish({ id, type, ...more, data });
    const [first] = await this.answers(id, 1);
    return first?.kind === 'refused' ? [first] : this.answers(id, 2);
  }
}

/** One command and its answers as they stand on the wire, `>` what the client says and `<` what the server does. */
const recordExchange = async (port: number): Promise<string> => {
  const socket = createConnection({ host: '127.0.0.1', port });
  let heard = '';
  let said = '';
  socket.setEncoding('utf8').on('data', (text) => {
    heard += text;
  });
  const hears = (what: string) => waitFor(() => heard.includes(what), { what });
  const lines = (text: string, mark: string): string =>
    text
      .trimEnd()
      .split('\r\n')
      .map((line) => `${mark} ${line}\n`)
      .join('');
  await hears('INFO');
  socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nPING\r\n');
  await hears('PONG');
  heard = '';
  const id = commandId(systemClock.nowMs(), 'first');
  const body = JSON.stringify({ id, type: 'CreateNetwork', data: { name: 'dmz' } });
  said = `SUB cnm.reply.alice.* 1\r\nSUB _INBOX.x1 2\r\nPUB cnm.command.alice._ _INBOX.x1 ${body.length}\r\n${body}\r\n`;
  socket.write(said);
  await hears('"kind":"outcome"');
  await hears('}\r\n');
  socket.destroy();
  return lines(said, '>') + lines(heard, '<');
};

prepareMachine();
const nats = await startNats();
const read = readConfig({ CNM_HOST: 'h1', CNM_RUN_DIR: runDir, CNM_DATA_DIR: nats.dataDir, CNM_CONFIRM_MS: '500' });
if (!read.ok) throw new Error(read.problems.join('; '));
const logger = pino({ level: 'warn' }, pino.destination(2));
const deps = { config: read.config, url: nats.url, logger, clock: systemClock };
const connection = await nats.connect();
const provisioned = await provision(connection, { sync: { kind: 'embedded' } });
if (!provisioned.ok) throw new Error(JSON.stringify(provisioned.problems));
const sender = new Sender(connection);
const log = jetStream(connection, 'CNM_LOG');

const controller = await startService('controller', deps);
const projector = await startService('projector', deps);
const collector = await startService('collector', deps);
await waitFor(async () => (await log.last()) > 0, { what: 'the opening' });
keep('answers', 'refused-without-host', (await sender.send('DeleteNetwork', { network: 'web' }))[0]);
let worker = await startService('worker', deps);

const query = async (name: string, request: object) => {
  const message = await connection.request(subjects.query(name), JSON.stringify(request), { timeout: 5_000 });
  const headers = headersOf(message);
  const text = message.string();
  return { subject: subjects.query(name), request, headers, answer: text === '' ? null : JSON.parse(text) };
};
const both = async (name: string, answers: Promise<readonly Answer[]>) => {
  const [first, outcome] = await answers;
  keep('answers', `${name}-${first?.kind}`, first);
  if (outcome) keep('answers', `${name}-outcome`, outcome);
  return { first, outcome };
};

await both(
  'configure-driver',
  sender.send('ConfigureDriver', { driver: 'bridge', options: { 'com.docker.network.driver.mtu': '1450' } }),
);
await both('create-network', sender.send('CreateNetwork', { name: 'web', ipv6: true, labels: { team: 'shop' } }));
await sender.send('CreateNetwork', {
  name: 'back',
  internal: true,
  gc: 'off',
  ipam: {
    subnets: [{ subnet: '10.9.0.0/24', range: '10.9.0.128/25', gateway: '10.9.0.1', aux: { router: '10.9.0.2' } }],
  },
});
await both('create-endpoint', sender.send('CreateEndpoint', { network: 'web', name: 'shop-db', aliases: ['db'] }));
const joinDb = { network: 'web', endpoint: 'shop-db', sandbox: 'db-1' };
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
await both(
  'join-endpoint',
  sender.send('JoinEndpoint', joinDb, { correlationid: 'deploy-42', traceparent, deadlineMs: 10_000 }),
);
await both(
  'attach-sandbox',
  sender.send('AttachSandbox', {
    sandbox: 'shop-1',
    hostname: 'shop',
    networks: [{ network: 'web' }, { network: 'back', interfaces: [{ ipv4: '10.9.0.10' }] }],
  }),
);
await both('delete-network', sender.send('DeleteNetwork', { network: 'web' }));
const joined = await log.last();
for (const view of ['networks', 'endpoints', 'sandboxes', 'addresses', 'names', 'hosts', 'drivers']) {
  keep('queries', view, await query(view, { atLeast: joined, limit: 1 }));
}
keep('queries', 'commands', await query('commands', { atLeast: joined, filter: { correlationid: 'deploy-42' } }));
keepText('wire', 'exchange.txt', await recordExchange(Number(new URL(nats.url).port)));
keep('queries', 'status', await query('status', {}));
keep(
  'queries',
  'events',
  await query('events', { atLeast: joined, filter: { type: 'EndpointJoined', endpoint: 'shop-db' } }),
);
keep('queries', 'error-view-unknown', await query('network', {}));
keep('queries', 'error-malformed', await query('networks', { limit: 0 }));
keep('queries', 'error-not-yet', await query('networks', { atLeast: joined + 1_000, timeoutMs: 10 }));
keep('wire', 'srv-ping', (await connection.request('$SRV.PING.cnm-projector')).json());
keep('wire', 'srv-info', (await connection.request('$SRV.INFO.cnm-projector')).json());

const joinedAt = Number(
  (await query('commands', { filter: { correlationid: 'deploy-42' } })).answer.rows[0].endedPosition,
);
const direct = await connection.request('$JS.API.DIRECT.GET.CNM_LOG', JSON.stringify({ seq: joinedAt }));
keep('wire', 'direct-get', { request: { seq: joinedAt }, headers: headersOf(direct), body: direct.json() });
const consumer = {
  stream_name: 'CNM_LOG',
  config: {
    name: 'watch-1',
    deliver_policy: 'by_start_sequence',
    opt_start_seq: joinedAt + 1,
    ack_policy: 'none',
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 60_000_000_000,
    filter_subjects: [subjects.host('h1'), subjects.outcome('h1')],
  },
  action: 'create',
};
const created = await connection.request('$JS.API.CONSUMER.CREATE.CNM_LOG.watch-1', JSON.stringify(consumer));
if ('error' in created.json<object>()) throw new Error(created.string());
keep('wire', 'consumer-create', consumer);
const durable = {
  stream_name: 'CNM_LOG',
  config: {
    name: 'billing',
    durable_name: 'billing',
    deliver_policy: 'by_start_sequence',
    opt_start_seq: joinedAt + 1,
    ack_policy: 'explicit',
    ack_wait: 30_000_000_000,
    max_ack_pending: 1_000,
  },
  action: '',
};
const kept = await connection.request('$JS.API.CONSUMER.CREATE.CNM_LOG.billing', JSON.stringify(durable));
if ('error' in kept.json<object>()) throw new Error(kept.string());
keep('wire', 'consumer-durable', durable);

await both('leave-endpoint', sender.send('LeaveEndpoint', { network: 'web', endpoint: 'shop-db' }));
await both('detach-sandbox', sender.send('DetachSandbox', { sandbox: 'shop-1' }));
await sender.send('CreateEndpoint', { network: 'web', name: 'forgotten', gc: 1000 });
await sender.send('JoinEndpoint', { network: 'web', endpoint: 'forgotten', sandbox: 'job-7' });
await sender.send('LeaveEndpoint', { network: 'web', endpoint: 'forgotten' });
const left = await log.last();
keep('queries', 'garbage', await query('garbage', { atLeast: left, filter: { endpoint: 'forgotten' } }));

await both('join-failed', sender.send('JoinEndpoint', { ...joinDb, netns: '/run/netns/nowhere' }));
await sender.send('AttachSandbox', { sandbox: 'shop-2', netns: '/run/netns/nowhere', networks: [{ network: 'web' }] });
ip('link', 'add', 'br-office', 'type', 'bridge');
await sender.send('CreateNetwork', { name: 'office', options: { 'com.docker.network.bridge.name': 'br-office' } });
await sender.send('CreateNetwork', { name: 'lab' });
await sender.send('AttachSandbox', { sandbox: 'vm-1', networks: [{ network: 'lab' }] });
// nothing can be removed from a file system that is read only; what stands on it waits in vain
const remount = (mode: 'ro' | 'rw') => execFileSync('mount', ['-o', `remount,${mode}`, `${runDir}/default-h1`]);
remount('ro');
await Promise.all([
  sender.send('DetachSandbox', { sandbox: 'vm-1' }),
  sender.send('DeleteNetwork', { network: 'lab' }),
]);
remount('rw');
await sender.send('DeleteEndpoint', { network: 'web', endpoint: 'shop-db' });
await sender.send('CreateNetwork', { name: 'tmp', driver: 'null' });
await sender.send('DeleteNetwork', { network: 'tmp' });
await waitFor(async () => (await query('endpoints', { filter: { endpoint: 'forgotten' } })).answer.rows.length === 0, {
  what: 'the collection of what was forgotten',
  timeoutMs: 20_000,
});

// ports, changes in place and moves
const listener = createServer().listen(9443, '127.0.0.1');
await once(listener, 'listening');
const ports = [{ hostAddress: 'any', hostPort: 8080, port: 80 }, { port: 9100 }];
await both('publish', sender.send('AttachSandbox', { sandbox: 'web-1', ports, networks: [{ network: 'web' }] }));
const publishedAt = await log.last();
keep('queries', 'ports', await query('ports', { atLeast: publishedAt, filter: { exposure: ['any', 'address'] } }));
const update = { network: 'web', endpoint: 'web-1', aliases: ['www'] };
await both('update-endpoint', sender.send('UpdateEndpoint', update));
// somebody else listens there
const taken = [{ hostPort: 9443, port: 443 }];
await both('update-failed', sender.send('UpdateEndpoint', { ...update, ports: taken }));
await sender.send('CreateNetwork', { name: 'blue' });
const to = { network: 'blue', name: 'web-1' };
await sender.send('MoveSandbox', { sandbox: 'web-1', from: 'web', to: { ...to, ports: taken } });
await both('move-sandbox', sender.send('MoveSandbox', { sandbox: 'web-1', from: 'web', to }));
await both('update-network', sender.send('UpdateNetwork', { network: 'blue', labels: { tier: 'front' } }));
await sender.send('DetachSandbox', { sandbox: 'web-1' });
await recordLoad({ sender, connection, query, last: () => log.last(), keep });

await both('prune-networks', sender.send('PruneNetworks', { labels: ['tier=front'] }));
listener.close();

// leases: of a sandbox that is renewed once, and of a network
await sender.send('CreateNetwork', { name: 'trial', leaseMs: 3_000, owner: 'ci' });
const leased = { sandbox: 'run-1', leaseMs: 2_000, owner: 'ci', networks: [{ network: 'web' }] };
await sender.send('AttachSandbox', leased);
await both('renew-lease', sender.send('RenewLease', { sandbox: 'run-1', owner: 'ci' }));
const renewedAt = await log.last();
keep('queries', 'leases', await query('leases', { atLeast: renewedAt, filter: { owner: 'ci' } }));
await waitFor(async () => (await query('leases', {})).answer.rows.length === 0, {
  what: 'the end of what nobody renews',
  timeoutMs: 20_000,
});

await recordDrift({
  send: (type, data) => sender.send(type, data),
  told: async (type) => (await query('events', { filter: { type } })).answer.rows.length > 0,
  keep: async () => keep('queries', 'drift', await query('drift', { atLeast: await log.last() })),
});

await worker.stop();
const unwanted = commandId(systemClock.nowMs(), 'unwanted');
await sender.publish({ id: unwanted, type: 'CreateNetwork', data: { name: 'unwanted' } });
await sender.answers(unwanted, 1);
await both('cancel-command', sender.send('CancelCommand', { commandId: unwanted, reason: 'started twice' }));
keep('answers', 'cancelled-outcome', (await sender.answers(unwanted, 2))[1]);
const lateUpdate = sender.send(
  'UpdateNetwork',
  { network: 'web', options: { 'com.docker.network.driver.mtu': '1400' } },
  { deadlineMs: 200 },
);
const late = sender.send('ConfigureDriver', { driver: 'bridge', options: {} }, { deadlineMs: 200 });
await both('timed-out', late);
await lateUpdate;
worker = await startService('worker', deps);
await waitFor(
  async () => {
    const types = ['DriverConfigureFailed', 'NetworkUpdateFailed'];
    const found = await Promise.all(types.map((type) => query('events', { filter: { type } })));
    return found.every(({ answer }) => answer.rows.length > 0);
  },
  {
    what: 'what came too late',
  },
);

// the host goes, and does not come back with what it had
await sender.send('AttachSandbox', { sandbox: 'left-1', networks: [{ network: 'web' }] });
await worker.stop();
await waitFor(async () => (await query('hosts', { filter: { alive: 'false' } })).answer.rows.length > 0, {
  what: 'the lapse of the host',
  timeoutMs: 30_000,
});
const pending = commandId(systemClock.nowMs(), 'pending');
await sender.publish({ id: pending, type: 'CreateNetwork', data: { name: 'pending' } });
await sender.answers(pending, 1);
await both('declare-host-lost', sender.send('DeclareHostLost', { host: 'h1', reason: 'disk failed, ticket 4711' }));
keep('answers', 'host-lost-outcome', (await sender.answers(pending, 2))[1]);
worker = await startService('worker', deps);

/** Which one of a type is kept; the first one where nothing is said. */
const telling: Readonly<Record<string, (data: Record<string, unknown>) => boolean>> = {
  CommandRefused: ({ code }) => code === 'NETWORK_HAS_ENDPOINTS',
  EndpointDeleteRequested: ({ cause }) => cause === 'garbage',
  EndpointJoined: ({ name }) => name === 'shop-db',
  EndpointUpdated: ({ name }) => name === 'web-1',
};

let realmCommits = 0;
const lastPosition = await log.last();
for (let position = 1; position <= lastPosition; position++) {
  const message = await log.get(position);
  if (!message) throw new Error(`no message ${position}`);
  const body = new TextDecoder().decode(message.body);
  for (const event of JSON.parse(body)) {
    const name = String(event.type).slice('cnm.'.length);
    const tells = telling[name.slice(0, name.lastIndexOf('.'))];
    if (!tells || tells(event.data)) keep('events', name, event);
  }
  if (position === joinedAt) {
    keep('wire', 'joined-commit', {
      position,
      subject: message.subject,
      headers: message.headers(),
      body: JSON.parse(body),
    });
  }
  if (message.subject !== subjects.realm) continue;
  realmCommits += 1;
  keep('wire', `realm-commit-${realmCommits}`, {
    position,
    subject: message.subject,
    headers: message.headers(),
    body,
  });
}
const commands = jetStream(connection, 'CNM_COMMANDS');
const lastCommand = await commands.last();
for (let position = 1; position <= lastCommand; position++) {
  const message = await commands.get(position);
  if (!message) throw new Error(`no command ${position}`);
  const body = JSON.parse(new TextDecoder().decode(message.body));
  // what the page shows of a join is the one with everything in it
  if (body.type !== 'JoinEndpoint' || body.correlationid !== undefined) keep('commands', `${body.type}.v1`, body);
}

for (const part of [worker, collector, projector, controller]) await part.stop();
rmSync(nats.dataDir, { recursive: true, force: true });
// the server goes with this process
process.exit(0);

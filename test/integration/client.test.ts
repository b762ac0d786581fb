// The typed client against a real nats-server, with real services on a kernel in memory, and with services that lose answers.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { cloudType, eventVersions } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import {
  type Client,
  ClientClosed,
  CommandFailed,
  CommandRefused,
  connect,
  QueryFailed,
} from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { serveQueries } from '../../services/projector/serve.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { startNats, startProxy, type TestNats, waitFor } from '../support/nats.ts';
import { type NatsStreams, natsStreams, System } from '../support/system.ts';

const logger = pino({ level: 'silent' });
let machine: MemoryMachine;
let streams: NatsStreams;
let system: System;
let projector: Projector;
let client: Client;

before(async () => {
  machine = new MemoryMachine();
  streams = await natsStreams();
  const kernel = memoryKernel(machine, { realm: 'test', host: 'h1' });
  system = await new System({ ...streams, kernel, runDir: '/run/cnm-test' }).start();
  projector = createProjector({ log: streams.log, clock: systemClock, logger });
  serveQueries(await streams.nats.connect(), projector, logger, { version: '0.0.0', realm: 'test' });
  client = await connect({ url: streams.nats.url, actor: 'ann' });
});
after(async () => {
  await client.close();
  await projector.stop();
  await system.stop();
  await streams.stop();
});

test('client: a command is accepted, and its outcome comes later', async () => {
  const accepted = await client.createNetwork({ name: 'web', ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
  assert.match(accepted.network?.id ?? '', /^[0-9a-z]{12}$/);
  assert.equal((await accepted.outcome).status, 'succeeded');
  const attached = await client.attachSandbox({ sandbox: 'c1', networks: [{ network: 'web' }] });
  assert.equal(attached.endpoints[0]?.ipv4, '10.1.0.2/24');
  const { sandbox, endpoints, position } = await attached.outcome;
  assert.equal(sandbox?.key, '/run/cnm-test/netns/c1');
  assert.equal(endpoints[0]?.interface, 'eth0');
  assert.ok(position > attached.position);
});

test('client: a refusal rejects with code, culprits and remedy', async () => {
  await assert.rejects(client.deleteNetwork({ network: 'web' }), (error: unknown) => {
    assert.ok(error instanceof CommandRefused);
    assert.equal(error.code, 'NETWORK_HAS_ENDPOINTS');
    assert.equal(error.culprits[0]?.name, 'c1');
    assert.match(error.remedy, /Delete the endpoints/);
    return true;
  });
});

test('client: what could not be answered is refused before it is sent', async () => {
  for (const options of [{ host: '../x' }, { id: 'no id' }]) {
    const isMalformed = (error: unknown) => error instanceof CommandRefused && error.code === 'COMMAND_MALFORMED';
    await assert.rejects(client.createNetwork({ name: 'n' }, options), isMalformed);
  }
  await assert.rejects(connect({ url: streams.nats.url, actor: 'a b' }), TypeError);
});

test('client: a failed command rejects its outcome with the fault, which nobody has to look at', async () => {
  machine.fail({
    when: ({ object }) => object.kind === 'bridge',
    once: true,
    fault: { errno: 'EBUSY', text: 'busy' },
  });
  const ignored = await client.createNetwork({ name: 'bad' });
  await assert.rejects(ignored.outcome, (error: unknown) => {
    assert.ok(error instanceof CommandFailed);
    assert.equal(error.code, 'KERNEL_ERROR');
    assert.equal(error.fault?.errno, 'EBUSY');
    return true;
  });
  machine.fail({ when: ({ object }) => object.kind === 'bridge', once: true });
  await client.createNetwork({ name: 'bad' }); // an unhandled rejection would end this process
  await waitFor(async () => (await client.networks({ filter: { name: 'bad' } })).rows.length === 0, {
    what: 'its end',
  });
});

test('client: the same id gets the same answer, from whichever client', async (t) => {
  const id = client.mintId();
  const [first, second] = await Promise.all([
    client.createEndpoint({ network: 'web', name: 'once' }, { id }),
    client.createEndpoint({ network: 'web', name: 'once' }, { id }),
  ]);
  assert.equal(first.endpoints[0]?.id, second.endpoints[0]?.id);
  await first.outcome;
  const other = await connect({ url: streams.nats.url, actor: 'ann' });
  t.after(() => other.close());
  const again = await other.createEndpoint({ network: 'web', name: 'once' }, { id });
  assert.equal(again.endpoints[0]?.id, first.endpoints[0]?.id);
  assert.equal((await again.outcome).status, 'succeeded');
  const reused = (error: unknown) => error instanceof CommandRefused && error.code === 'COMMAND_ID_REUSED';
  await assert.rejects(other.createEndpoint({ network: 'web', name: 'twice' }, { id }), reused);
});

test('client: what became of commands is known later, by id and by correlation', async () => {
  const correlationid = `job-${client.mintId()}`;
  const ids = [client.mintId(), client.mintId()];
  const passing = await connect({ url: streams.nats.url, actor: 'ann' });
  await passing.createNetwork({ name: 'job' }, { id: ids[0] ?? '', correlationid });
  await passing.attachSandbox({ sandbox: 'j1', networks: [{ network: 'job' }] }, { id: ids[1] ?? '', correlationid });
  await passing.close();
  await waitFor(async () => (await client.command(ids[1] ?? ''))?.status === 'succeeded', { what: 'the attach' });
  const rows = await client.byCorrelation(correlationid);
  assert.deepEqual(
    rows.map(({ command, status }) => [command, status]),
    [
      ['CreateNetwork', 'succeeded'],
      ['AttachSandbox', 'succeeded'],
    ],
  );
  assert.equal(rows[1]?.sandbox?.key, '/run/cnm-test/netns/j1');
  assert.equal(await client.command(client.mintId()), null);
});

test('client: queries read what one has written, and the past', async () => {
  const accepted = await client.createNetwork({ name: 'seen' });
  const { position } = await accepted.outcome;
  const { rows } = await client.networks({ filter: { network: 'seen' }, atLeast: position });
  assert.equal(rows[0]?.status, 'active');
  assert.deepEqual((await client.networks({ filter: { network: 'seen' }, asOf: accepted.position - 1 })).rows, []);
  const page = await client.endpoints({ limit: 1 });
  assert.equal(page.rows.length, 1);
  assert.ok((await client.endpoints()).rows.length > 1);
  const events = await client.events({ filter: { network: 'seen' } });
  assert.deepEqual(
    events.rows.map(({ type }) => type),
    [cloudType('NetworkCreateRequested', eventVersions.NetworkCreateRequested), 'cnm.NetworkCreated.v1'],
  );
  const malformed = (error: unknown) => error instanceof QueryFailed && error.code === 'QUERY_MALFORMED';
  await assert.rejects(client.networks({ filter: { color: 'red' } }), malformed);
  const { streams, services, hosts } = await client.status();
  assert.ok((streams.log?.last ?? 0) >= position);
  assert.ok(services.some(({ name }) => name === 'cnm-projector'));
  assert.equal(hosts[0]?.host, 'h1');
});

test('client: a watch begins with what is, and goes on with what comes', async () => {
  const watching = client.watch({ view: 'networks', types: ['NetworkCreated'] });
  const snapshot = (await watching.next()).value;
  assert.ok(snapshot.kind === 'snapshot' && snapshot.rows.some((row: Record<string, unknown>) => row.name === 'web'));
  await client.createNetwork({ name: 'watched' });
  const item = (await watching.next()).value;
  assert.ok(item.kind === 'event' && item.event.data.name === 'watched');
  await watching.return?.();
});

test('client: a thousand at once', async () => {
  await (await client.createNetwork({ name: 'wide', ipam: { subnets: [{ subnet: '10.2.0.0/20' }] } })).outcome;
  const names = Array.from({ length: 1_000 }, (_, index) => `w${index}`);
  const accepted = await Promise.all(
    names.map((sandbox) => client.attachSandbox({ sandbox, networks: [{ network: 'wide' }] }, { deadlineMs: 120_000 })),
  );
  const outcomes = await Promise.all(accepted.map(({ outcome }) => outcome));
  assert.equal(new Set(outcomes.map(({ endpoints }) => endpoints[0]?.ipv4)).size, 1_000);
});

test('client: an acknowledgement that is lost is no second command', async () => {
  const proxy = await startProxy(streams.nats.url);
  const far = await connect({ url: proxy.url, actor: 'far' });
  try {
    proxy.swallow(true);
    const sending = far.createNetwork({ name: 'lossy' });
    await waitFor(async () => (await client.networks({ filter: { name: 'lossy' } })).rows.length > 0, { what: 'it' });
    proxy.swallow(false);
    proxy.cut();
    const { outcome, commandid } = await sending;
    assert.equal((await outcome).status, 'succeeded');
    const refused = await client.events({ filter: { type: 'CommandRefused', commandid } });
    assert.deepEqual(refused.rows, []);
  } finally {
    await far.close();
    await proxy.stop();
  }
});

test('client: a signal ends the waiting, closing ends it for all', async (t) => {
  const silent = await startNats();
  t.after(() => silent.stop());
  await provisionBare(silent);
  const lonely = await connect({ url: silent.url, actor: 'ann' });
  const reason = new Error('enough');
  const signal = AbortSignal.timeout(200);
  await assert.rejects(lonely.createNetwork({ name: 'n' }, { signal }), { name: 'TimeoutError' });
  await assert.rejects(lonely.createNetwork({ name: 'n' }, { signal: AbortSignal.abort(reason) }), reason);
  const waiting = assert.rejects(lonely.createNetwork({ name: 'n' }), ClientClosed);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await lonely.close();
  await waiting;
});

test('client: answers that never come are read from the view', async (t) => {
  const nats = await startNats();
  t.after(() => nats.stop());
  await provisionBare(nats);
  const connection = await nats.connect();
  const decided = new Map<string, string>();
  // decides everything, answers nobody
  const reader = jetStream(connection, 'CNM_COMMANDS').read({ from: 1 }, ({ body }) => {
    const { id, type } = JSON.parse(new TextDecoder().decode(body));
    decided.set(id, type);
  });
  reader.closed.catch(() => {}); // when the server goes, at the end
  let asked = 0;
  connection.subscribe(subjects.own('ann'), {
    callback: (_, message) => {
      const { filter } = message.json<{ filter: { actor: string; commandid: string } }>();
      const command = decided.get(filter.commandid);
      const status = ++asked < 3 ? 'accepted' : 'succeeded';
      const row = { ...filter, correlationid: filter.commandid, command, status, position: 5, endedPosition: 6 };
      const rest = { network: { id: 'n1', name: 'n' }, endpoints: [], sandbox: null, refusal: null, fault: null };
      message.respond(JSON.stringify({ position: 6, rows: command === undefined ? [] : [{ ...row, ...rest }] }));
    },
  });
  const deaf = await connect({ url: nats.url, actor: 'ann' });
  t.after(() => deaf.close());
  const accepted = await deaf.createNetwork({ name: 'n' });
  assert.deepEqual([accepted.position, accepted.network?.id], [5, 'n1']);
  assert.equal((await accepted.outcome).position, 6);
});

const provisionBare = async (nats: TestNats): Promise<void> => {
  const { provision } = await import('../../services/nats/streams.ts');
  const provisioned = await provision(await nats.connect(), { sync: { kind: 'embedded' } });
  assert.ok(provisioned.ok);
};

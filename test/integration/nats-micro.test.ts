// Our services are found, called and watched by a bare NATS client as ADR-32 says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { headers, type NatsConnection, RequestError } from '@nats-io/transport-node';
import { type Endpoint, type Service, serve } from '../../services/nats/micro.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';

let nats: TestNats;
let server: NatsConnection;
let client: NatsConnection;
let release: () => void = () => {};

before(async () => {
  nats = await startNats();
  server = await nats.connect();
  client = await nats.connect();
});
after(() => nats.stop());

const bytes = (text: string) => new TextEncoder().encode(text);
const endpoints: readonly Endpoint[] = [
  { name: 'echo', subject: 'cnm.query.echo', metadata: { idempotent: 'yes' }, handler: async (request) => request },
  {
    name: 'refuse',
    group: 'cnm.query',
    subject: 'refuse.*',
    handler: async (_request, given, subject) => ({
      error: { code: 404, description: `no\r\nsuch ${given?.get('what')}`, body: bytes(subject) },
    }),
  },
  { name: 'break', subject: 'cnm.query.break', handler: () => Promise.reject(new Error('a bug')) },
  { name: 'large', subject: 'cnm.query.large', handler: async () => new Uint8Array(2_000_000) },
  {
    name: 'slow',
    subject: 'cnm.query.slow',
    handler: (request) =>
      new Promise((resolve) => {
        release = () => resolve(request);
      }),
  },
];
const start = (onError?: (endpoint: string, error: unknown) => void): Service =>
  serve(server, {
    name: 'cnm-projector',
    version: '0.1.0',
    description: 'views',
    metadata: { realm: 'default' },
    endpoints,
    ...(onError === undefined ? {} : { onError }),
  });
const all = async (subject: string): Promise<readonly Record<string, unknown>[]> => {
  const found: Record<string, unknown>[] = [];
  for await (const msg of await client.requestMany(subject, '', { maxWait: 300 })) found.push(msg.json());
  return found;
};

test('micro: every instance answers PING, by name and id too', async () => {
  const services = [start(), start()];
  await server.flush();
  const pings = await all('$SRV.PING');
  assert.deepEqual(pings.map(({ id }) => id).sort(), services.map(({ id }) => id).sort());
  assert.deepEqual(pings[0], {
    type: 'io.nats.micro.v1.ping_response',
    name: 'cnm-projector',
    id: pings[0]?.id,
    version: '0.1.0',
    metadata: { realm: 'default' },
  });
  assert.equal((await all('$SRV.PING.cnm-projector')).length, 2);
  assert.equal((await all(`$SRV.PING.cnm-projector.${services[0]?.id}`)).length, 1);
  await Promise.all(services.map((service) => service.stop()));
  await assert.rejects(
    () => client.request('$SRV.PING'),
    (error) => error instanceof RequestError && error.isNoResponders(),
  );
});

test('micro: INFO lists the endpoints with subject, queue group and metadata', async () => {
  const service = start();
  await server.flush();
  const [info] = await all('$SRV.INFO.cnm-projector');
  assert.equal(info?.type, 'io.nats.micro.v1.info_response');
  assert.equal(info.description, 'views');
  const list = info.endpoints as readonly Record<string, unknown>[];
  assert.deepEqual(list[0], {
    name: 'echo',
    subject: 'cnm.query.echo',
    queue_group: 'q',
    metadata: { idempotent: 'yes' },
  });
  assert.equal(list[1]?.subject, 'cnm.query.refuse.*');
  await service.stop();
});

test('micro: answers, errors and bugs come as the protocol says, and are counted', async () => {
  const errors: string[] = [];
  const service = start((endpoint, error) =>
    errors.push(`${endpoint}: ${error instanceof Error ? error.message : error}`),
  );
  await server.flush();
  assert.equal((await client.request('cnm.query.echo', 'hello')).string(), 'hello');
  const given = headers();
  given.set('what', 'network');
  const refused = await client.request('cnm.query.refuse.x', '', { timeout: 1_000, headers: given });
  assert.equal(refused.headers?.get('Nats-Service-Error'), 'no such network');
  assert.equal(refused.headers?.get('Nats-Service-Error-Code'), '404');
  assert.equal(refused.string(), 'cnm.query.refuse.x');
  const broken = await client.request('cnm.query.break');
  assert.equal(broken.headers?.get('Nats-Service-Error-Code'), '500');
  assert.equal(broken.headers?.get('Nats-Service-Error'), 'a bug');
  const large = await client.request('cnm.query.large');
  assert.equal(large.headers?.get('Nats-Service-Error-Code'), '500');
  assert.match(errors.join('\n'), /^break: a bug\nlarge: /);
  const [stats] = await all('$SRV.STATS.cnm-projector');
  assert.equal(stats?.type, 'io.nats.micro.v1.stats_response');
  assert.ok(Date.parse(String(stats.started)) > 0);
  const list = stats.endpoints as readonly Record<string, unknown>[];
  assert.deepEqual(
    list.map(({ num_requests, num_errors }) => [num_requests, num_errors]),
    [
      [1, 0],
      [1, 1],
      [1, 1],
      [1, 1],
      [0, 0],
    ],
  );
  assert.equal(list[1]?.last_error, '404:no such network');
  assert.ok(Number(list[0]?.processing_time) > 0);
  assert.equal(list[0]?.average_processing_time, list[0]?.processing_time);
  await service.stop();
});

test('micro: instances share the requests', async () => {
  const services = [start(), start()];
  await server.flush();
  await Promise.all(Array.from({ length: 100 }, () => client.request('cnm.query.echo', 'x')));
  const stats = await all('$SRV.STATS');
  const counts = stats.map(({ endpoints: list }) =>
    Number((list as readonly Record<string, unknown>[])[0]?.num_requests),
  );
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    100,
  );
  assert.ok(
    counts.every((count) => count > 0),
    counts.join(),
  );
  await Promise.all(services.map((service) => service.stop()));
});

test('micro: stop waits for what is being handled, and takes nothing more', async () => {
  const service = start();
  await server.flush();
  const answer = client.request('cnm.query.slow', 'late', { timeout: 5_000 });
  release = () => {};
  const idle = release;
  await waitFor(() => release !== idle, { what: 'the request to arrive' });
  let stopped = false;
  const stopping = service.stop().then(() => {
    stopped = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(stopped, false);
  await assert.rejects(
    () => client.request('cnm.query.echo'),
    (error) => error instanceof RequestError && error.isNoResponders(),
  );
  release();
  assert.equal((await answer).string(), 'late');
  await stopping;
});

test('micro: names and versions that the protocol forbids are refused', () => {
  const good = { name: 'a', version: '1.0.0', description: '', endpoints: [] };
  for (const bad of [
    { name: 'a.b' },
    { name: '' },
    { version: '1' },
    { endpoints: [{ ...endpoints[0], name: 'x y' } as Endpoint] },
  ]) {
    assert.throws(() => serve(server, { ...good, ...bad }), TypeError);
  }
});

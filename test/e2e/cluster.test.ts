// Streams with three copies: attach and detach go on while the server that leads a stream is killed; nothing acknowledged is lost, nothing done twice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { commitHeaders, type Event } from '../../events/envelope.ts';
import { isIntent, isTerminal } from '../../events/events.ts';
import type { Acceptance, Client } from '../../services/client/index.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { type Hosts, serverAddress, startHosts } from '../support/hosts.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const sandboxesPerHost = 30;
/** An election takes seconds, on a busy machine some more. */
const deadlineMs = 90_000;

if (inOwnNamespaces(import.meta.filename)) {
  let cluster: TestCluster;
  let lab: Hosts;
  let client: Client;

  before(async () => {
    sh('ip link set lo up');
    cluster = await startCluster(3, { listen: '0.0.0.0' });
    const env = { CNM_NATS_REPLICAS: '3' };
    lab = await startHosts(2, { url: cluster.urlAt(serverAddress), env });
    for (const host of lab.hosts) await host.start();
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
    for (const { name } of lab.hosts) await (await client.createNetwork({ name: 'web' }, { host: name })).outcome;
  });
  after(async () => {
    await lab?.stop();
    await cluster?.stop();
  });

  const sandboxes = (): readonly { readonly sandbox: string; readonly host: string }[] =>
    lab.hosts.flatMap(({ name }) =>
      Array.from({ length: sandboxesPerHost }, (_, index) => ({ sandbox: `c${index}-${name}`, host: name })),
    );

  /** Sends commands, kills the leader of a stream when a third has ended, and starts that server again; all of them succeed. */
  const throughKill = async (stream: string, sends: readonly (() => Promise<Acceptance>)[]): Promise<void> => {
    let ended = 0;
    const outcomes = sends.map(async (send) => {
      await (await send()).outcome;
      ended += 1;
    });
    const all = Promise.all(outcomes);
    all.catch(() => undefined);
    await waitFor(() => ended > 0, { what: 'the first to end', timeoutMs: deadlineMs });
    const leader = await leaderOf(stream);
    await cluster.kill(leader);
    await all;
    assert.notEqual(await leaderOf(stream), leader);
    await cluster.restart(leader);
  };
  const leaderOf = async (stream: string): Promise<number> => {
    let leader: number | null = null;
    const known = async () => {
      leader = await cluster.leaderOf(stream);
      return leader !== null;
    };
    await waitFor(known, { what: `a leader of ${stream}`, timeoutMs: 30_000 });
    return leader ?? assert.fail();
  };

  const readAll = async (stream: string): Promise<readonly Message[]> => {
    const messages: Message[] = [];
    const reader = jetStream(await cluster.connect(), stream).read({ from: 1 }, (message) => messages.push(message));
    await reader.caughtUp;
    await reader.stop();
    return messages;
  };

  test('cluster: the streams have three copies', async () => {
    const { streams } = await (await import('@nats-io/jetstream')).jetstreamManager(await cluster.connect());
    for (const name of Object.values(STREAMS)) assert.equal((await streams.info(name)).config.num_replicas, 3, name);
  });

  test('cluster: attaches go through the kill of the leader of the log, detaches through that of the commands', async () => {
    await throughKill(
      STREAMS.log,
      sandboxes().map(({ sandbox, host }) => () => {
        return client.attachSandbox({ sandbox, networks: [{ network: `${host}/web` }] }, { deadlineMs });
      }),
    );
    const { rows } = await client.sandboxes({ filter: {}, limit: 1_000 });
    assert.equal(rows.length, 2 * sandboxesPerHost);
    // one port of a bridge for each, on its own host
    for (const { exec } of lab.hosts)
      assert.equal(exec('ip -o link show type veth | grep -c master').trim(), String(sandboxesPerHost));
    await throughKill(
      STREAMS.commands,
      sandboxes().map(
        ({ sandbox, host }) =>
          () =>
            client.detachSandbox({ sandbox }, { host, deadlineMs }),
      ),
    );
    assert.equal((await client.sandboxes({ filter: {} })).rows.length, 0);
    for (const { exec } of lab.hosts)
      assert.equal(exec('ip -o link show type veth | grep -c master || true').trim(), '0');
  });

  test('cluster: every acknowledged command is on its stream and decided once, every intent reported once, the chain whole', async () => {
    const [log, commands] = await Promise.all([readAll(STREAMS.log), readAll(STREAMS.commands)]);
    const asked = new Set(
      commands.flatMap(({ body }) => {
        const { type, id } = JSON.parse(new TextDecoder().decode(body));
        return type === 'AttachSandbox' || type === 'DetachSandbox' ? [id as string] : [];
      }),
    );
    assert.equal(asked.size, 4 * sandboxesPerHost);
    const heads = new Map<string, Message>();
    const decided = new Map<string, Set<number>>();
    const open = new Map<string, Event>();
    let ended = 0;
    for (const message of log) {
      const before = heads.get(message.subject);
      assert.equal(message.header(commitHeaders.prevHash), before ? chainHash(before) : '', `at ${message.position}`);
      heads.set(message.subject, message);
      for (const event of eventsOf(message)) {
        const { commandid, causationid, id } = event.meta;
        if (isIntent(event.type)) {
          open.set(id, event);
          if (asked.has(commandid)) decided.set(commandid, (decided.get(commandid) ?? new Set()).add(message.position));
        } else if (isTerminal(event.type)) {
          assert.ok(open.delete(causationid), `${event.type} at ${message.position} ends nothing that is open`);
          ended += 1;
        }
      }
    }
    assert.deepEqual([...decided.keys()].sort(), [...asked].sort());
    assert.deepEqual(
      [...decided.values()].filter((positions) => positions.size > 1),
      [],
    );
    assert.equal(open.size, 0);
    // create and join, leave and delete of each sandbox, and the two networks
    assert.equal(ended, 4 * 2 * sandboxesPerHost + 2);
  });
}

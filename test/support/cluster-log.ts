/** What a cluster's streams hold after leaders were killed: every acknowledged command decided once, every intent ended once, the chain whole. */
import assert from 'node:assert/strict';
import { commitHeaders, type Event, needsExecution } from '../../events/envelope.ts';
import { isIntent, isTerminal } from '../../events/events.ts';
import type { Acceptance } from '../../services/client/index.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import type { TestCluster } from './cluster.ts';
import { waitFor } from './nats.ts';

/** An election takes seconds, on a busy machine some more. */
export const electionMs = 90_000;

const leaderOf = async (cluster: TestCluster, stream: string): Promise<number> => {
  let leader: number | null = null;
  const known = async () => {
    leader = await cluster.leaderOf(stream);
    return leader !== null;
  };
  await waitFor(known, { what: `a leader of ${stream}`, timeoutMs: 30_000 });
  return leader ?? assert.fail();
};

/**
 * Sends commands, kills the leader of a stream when the first has ended, and starts that server again; all of them succeed.
 * @returns the position of the last outcome
 */
export const throughKill = async (
  cluster: TestCluster,
  stream: string,
  sends: readonly (() => Promise<Acceptance>)[],
): Promise<number> => {
  let ended = 0;
  const outcomes = sends.map(async (send) => {
    const { position } = await (await send()).outcome;
    ended += 1;
    return position;
  });
  const all = Promise.all(outcomes);
  all.catch(() => undefined);
  await waitFor(() => ended > 0, { what: 'the first to end', timeoutMs: electionMs });
  const leader = await leaderOf(cluster, stream);
  await cluster.kill(leader);
  const positions = await all;
  assert.notEqual(await leaderOf(cluster, stream), leader);
  await cluster.restart(leader);
  return Math.max(...positions);
};

/** Asked again while a leader is being elected. */
const lastOf = async (stream: Stream): Promise<number> => {
  let last: number | null = null;
  const isTold = async (): Promise<boolean> => {
    last = await stream.last().catch((error: unknown) => {
      if (error instanceof NatsFault && error.retry === 'later') return null;
      throw error;
    });
    return last !== null;
  };
  await waitFor(isTold, { what: 'the last position', timeoutMs: electionMs });
  return last ?? assert.fail('nobody told it');
};

/** To the end that the leader knows: a copy that was away may think it has all before it has. */
const readAll = async (cluster: TestCluster, name: string): Promise<readonly Message[]> => {
  const messages: Message[] = [];
  const stream = jetStream(await cluster.connect(), name);
  const last = await lastOf(stream);
  const reader = stream.read({ from: 1 }, (message) => messages.push(message));
  await waitFor(() => (messages.at(-1)?.position ?? 0) >= last, {
    what: `${name} up to ${last}`,
    timeoutMs: electionMs,
  });
  await reader.stop();
  return messages;
};

const askedIn = (commands: readonly Message[]): ReadonlySet<string> =>
  new Set(
    commands.flatMap(({ body }) => {
      const { type, id } = JSON.parse(new TextDecoder().decode(body)) as { type: string; id: string };
      return type === 'AttachSandbox' || type === 'DetachSandbox' ? [id] : [];
    }),
  );

export interface Ledger {
  /** Commands that attach or detach. */
  readonly asked: number;
  /** Intents that have ended. */
  readonly ended: number;
  readonly events: readonly Event[];
}

/** Reads both streams from the beginning. @throws AssertionError for what was lost, done twice or altered */
export const audited = async (cluster: TestCluster): Promise<Ledger> => {
  const [log, commands] = await Promise.all([readAll(cluster, STREAMS.log), readAll(cluster, STREAMS.commands)]);
  const asked = askedIn(commands);
  const heads = new Map<string, Message>();
  const decided = new Map<string, Map<string, Set<number>>>();
  const open = new Map<string, Event>();
  let ended = 0;
  const events: Event[] = [];
  for (const message of log) {
    const before = heads.get(message.subject);
    assert.equal(message.header(commitHeaders.prevHash), before ? chainHash(before) : '', `at ${message.position}`);
    heads.set(message.subject, message);
    for (const event of eventsOf(message)) {
      const { commandid, causationid, id } = event.meta;
      events.push(event);
      if (needsExecution(event)) open.set(id, event);
      if (isIntent(event.type)) {
        if (!asked.has(commandid)) continue;
        const on = decided.get(commandid) ?? new Map<string, Set<number>>();
        decided.set(commandid, on.set(message.subject, (on.get(message.subject) ?? new Set()).add(message.position)));
      } else if (isTerminal(event.type)) {
        assert.ok(open.delete(causationid), `${event.type} at ${message.position} ends nothing that is open`);
        ended += 1;
      }
    }
  }
  assert.deepEqual([...decided.keys()].sort(), [...asked].sort());
  const commits = [...decided.values()].map((on) => [...on.values()].reduce((sum, { size }) => sum + size, 0));
  assert.deepEqual(
    commits.filter((count) => count !== 1),
    [],
  );
  assert.deepEqual(
    [...open.values()].map(({ type, meta }) => `${type} ${meta.id}`),
    [],
  );
  return { asked: asked.size, ended, events };
};

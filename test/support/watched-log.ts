/** A log of many commits on a real server whose users may do what docs/protocol.md lets watchers do, with a projector beside it. */
import assert from 'node:assert/strict';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { encodeCommit } from '../../events/envelope.ts';
import { Labelled } from '../../projections/labelled.ts';
import { originOf } from '../../projections/origin.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { provision } from '../../services/nats/streams.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { serveQueries } from '../../services/projector/serve.ts';
import type { WatchItem } from '../../services/projector/watch.ts';
import { startNats, type TestNats, testStream } from './nats.ts';
import type { RandomCommit } from './random-history.ts';
import { someHistory } from './some-history.ts';

/** As docs/protocol.md has them. */
const permissions = {
  watcher: `publish: [
    "cnm.query.*", "$JS.API.STREAM.INFO.CNM_LOG", "$JS.API.STREAM.MSG.GET.CNM_LOG", "$JS.API.CONSUMER.CREATE.CNM_LOG",
    "$JS.API.CONSUMER.CREATE.CNM_LOG.>", "$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.>", "$JS.API.CONSUMER.DELETE.CNM_LOG.>",
  ], subscribe: ["_INBOX_watcher.>", "cnm.reply.watcher.*"]`,
  ordered: `publish: ["$JS.API.CONSUMER.CREATE.CNM_LOG.>", "$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.>"], subscribe: ["_INBOX.>"]`,
  durable: `publish: [
    "$JS.API.CONSUMER.CREATE.CNM_LOG.shop", "$JS.API.CONSUMER.INFO.CNM_LOG.shop", "$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.shop",
    "$JS.ACK.CNM_LOG.shop.>",
  ], subscribe: ["_INBOX.>"]`,
};
const users = Object.entries(permissions).map(
  ([name, text]) => `{ user: ${name}, password: pw, permissions: { ${text} } }`,
);

export interface Selection {
  readonly host?: string;
  readonly label?: readonly string[];
}

export class WatchedLog {
  readonly commits: readonly RandomCommit[];
  readonly #nats: TestNats;
  readonly #connection: NatsConnection;
  readonly #log: Stream;
  readonly #projector: Projector;
  stored = 0;

  private constructor(nats: TestNats, connection: NatsConnection, length: number) {
    this.commits = someHistory(length);
    this.#nats = nats;
    this.#connection = connection;
    this.#log = testStream(connection, STREAMS.log);
    this.#projector = createProjector({ log: this.#log, clock: systemClock, logger: silentLogger() });
    serveQueries(connection, this.#projector, silentLogger(), { version: '0.0.0', realm: 'test' });
  }

  /** @param length how many commits there are to be stored */
  static async start(length: number): Promise<WatchedLog> {
    // What is stored is thrown away with the server: nothing here waits for the disk.
    const config = `authorization: { users: [{ user: all, password: pw }, ${users.join(', ')}] }`;
    const nats = await startNats({ sync: '"2m"', config });
    const url = nats.url.replace('nats://', 'nats://all:pw@');
    const connection = await connectNats({ url, role: 'projector', log: silentLogger() });
    assert.ok((await provision(connection, { sync: { kind: 'stated' } })).ok);
    return new WatchedLog(nats, connection, length);
  }

  async stop(): Promise<void> {
    await this.#projector.stop();
    await this.#connection.close();
    await this.#nats.stop();
  }

  /** @param user one of those above */
  urlOf(user: keyof typeof permissions): string {
    return this.#nats.url.replace('nats://', `nats://${user}:pw@`);
  }

  /** Appends up to a position, many at once. */
  async grow(until: number): Promise<void> {
    while (this.stored < until) {
      const batch = this.commits.slice(this.stored, Math.min(until, this.stored + 500));
      const sending = batch.map(({ subject, position, events }) =>
        this.#log.append({ subject, body: encodeCommit(events), id: `c${position}` }),
      );
      for (const [index, appended] of (await Promise.all(sending)).entries())
        assert.deepEqual(appended, { kind: 'appended', position: this.stored + index + 1 });
      this.stored += batch.length;
    }
  }

  /** Positions of all events that pass, up to a commit. */
  selection({ host, label }: Selection, until: number): readonly string[] {
    const labelled = label === undefined ? null : new Labelled(label);
    return this.commits.slice(0, until).flatMap(({ subject, position, events }) =>
      events.flatMap((event, index) => {
        const passes = labelled?.concerns(event) ?? true;
        return passes && (host === undefined || originOf(subject).host === host) ? [`${position}.${index}`] : [];
      }),
    );
  }

  /** Counts the consumers of the log that come from here on. */
  async newConsumers(): Promise<() => Promise<number>> {
    const manager = await jetstreamManager(this.#connection);
    const consumers = async (): Promise<readonly string[]> => {
      const names: string[] = [];
      for await (const { name } of manager.consumers.list(STREAMS.log)) names.push(name);
      return names;
    };
    const others = await consumers();
    return async () => (await consumers()).filter((name) => !others.includes(name)).length;
  }
}

/** The next items of a watch. */
export const take = async (items: AsyncIterableIterator<WatchItem>, count: number): Promise<readonly WatchItem[]> => {
  const taken: WatchItem[] = [];
  while (taken.length < count) {
    const { done, value } = await items.next();
    assert.ok(!done, 'the watch ended');
    taken.push(value);
  }
  return taken;
};

/** A stream like the log's, filled, and the floor of reading it: what benches of readers of the log share. */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { logStream } from '../services/nats/stream-config.ts';

export interface BenchCommit {
  readonly subject: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The message's id, where that is not among the headers. */
  readonly id?: string;
  readonly events: number;
}

const IN_FLIGHT_MAX = 512;

/** Makes the stream and appends these. */
export const fillLog = async (connection: NatsConnection, commits: Iterable<BenchCommit>) => {
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ ...logStream, duplicate_window: 100_000_000 });
  const client = jetstream(connection);
  const inFlight = new Set<Promise<unknown>>();
  const written = { events: 0, messages: 0, bytes: 0 };
  for (const commit of commits) {
    const list = headers();
    for (const [name, value] of Object.entries(commit.headers)) list.append(name, value);
    const id = commit.id === undefined ? {} : { msgID: commit.id };
    const sent = client.publish(commit.subject, commit.body, { ...id, headers: list, timeout: 60_000 });
    inFlight.add(sent);
    void sent.finally(() => inFlight.delete(sent));
    written.events += commit.events;
    written.messages += 1;
    written.bytes += commit.body.length;
    if (inFlight.size >= IN_FLIGHT_MAX) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
  return written;
};

const decoder = new TextDecoder();

/** The floor: the library's ordered consumer, every body parsed. */
export const readBare = async (connection: NatsConnection): Promise<void> => {
  const consumer = await jetstream(connection).consumers.get(logStream.name, { opt_start_seq: 1 });
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const messages = await consumer.consume({
    // more at once is quicker by a tenth for small messages, and too much for the connection with large ones
    max_messages: 2_000,
    callback: (message) => {
      JSON.parse(decoder.decode(message.data));
      if (message.info.pending === 0) resolve();
    },
  });
  await done;
  messages.stop();
};

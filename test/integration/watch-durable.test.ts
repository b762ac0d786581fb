// A plain NATS client with a durable consumer, as docs/protocol.md has it: away while the log grows, and it misses nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { waitFor } from '../support/nats.ts';
import { type NatsStreams, natsStreams } from '../support/system.ts';

/** The request of the page. */
const durable = JSON.parse(readFileSync(join(import.meta.dirname, '../golden/wire/consumer-durable.json'), 'utf8'));
// What was not dealt with comes again sooner than anybody would want it.
durable.config.ack_wait = 1_000_000_000;
const START = durable.config.opt_start_seq as number;

let streams: NatsStreams;
before(async () => {
  streams = await natsStreams();
});
after(() => streams.stop());

let stored = 0;
/** Commits without events are commits all the same. */
const grow = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n++) {
    stored += 1;
    const appended = await streams.log.append({ subject: 'cnm.event.host.h1', body: '[]', id: `c${stored}` });
    assert.deepEqual(appended, { kind: 'appended', position: stored });
  }
};

const positionOf = ({ reply = '' }: Msg): number => Number(reply.split('.')[5]);

/** Asks until nothing comes any more. @param acknowledge which ones it deals with before it ends */
const readAll = async (
  client: NatsConnection,
  acknowledge: (position: number) => boolean,
): Promise<readonly number[]> => {
  const created = await client.request('$JS.API.CONSUMER.CREATE.CNM_LOG.billing', JSON.stringify(durable));
  assert.equal(created.json<{ error?: unknown }>().error, undefined);
  const positions: number[] = [];
  for (let isDry = false; !isDry; ) {
    const inbox = `_INBOX.${Math.random()}`;
    const batch = client.subscribe(inbox);
    client.publish('$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.billing', JSON.stringify({ batch: 100, no_wait: true }), {
      reply: inbox,
    });
    let count = 0;
    for await (const message of batch) {
      if (message.headers?.code) break;
      positions.push(positionOf(message));
      if (acknowledge(positionOf(message))) client.publish(message.reply ?? '', '+ACK');
      if (++count === 100) break;
    }
    isDry = count < 100;
  }
  await client.flush();
  return positions;
};

test('a durable consumer goes on behind what it has dealt with, and gets again what it has not', async () => {
  await grow(250);
  const first = await connect({ servers: streams.nats.url });
  const seen = await readAll(first, (position) => position <= 200);
  assert.deepEqual(
    seen,
    Array.from({ length: 250 - START + 1 }, (_, n) => START + n),
  );
  await first.close();
  await grow(1_000);
  const second = await connect({ servers: streams.nats.url });
  const later: number[] = [];
  await waitFor(
    async () => {
      later.push(...(await readAll(second, () => true)));
      return later.length >= 1_050;
    },
    { what: 'all that was not dealt with' },
  );
  assert.deepEqual(
    later.filter((position) => position > 250),
    Array.from({ length: 1_000 }, (_, n) => 251 + n),
  );
  assert.deepEqual(
    later.filter((position) => position <= 250).sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, n) => 201 + n),
  );
  await second.close();
});

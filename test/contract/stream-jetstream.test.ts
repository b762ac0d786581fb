import { after, before } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { jetStream } from '../../services/nats/jetstream.ts';
import { addStream, startNats, type TestNats } from '../support/nats.ts';
import { streamSuite } from './stream.suite.ts';

let nats: TestNats;
let connection: NatsConnection;

before(async () => {
  nats = await startNats();
  connection = await nats.connect();
});
after(() => nats.stop());

// one stream at a time takes the subjects, as every test has them to itself
streamSuite('JetStream', async () => {
  const manager = await jetstreamManager(connection);
  await manager.streams.delete('T').catch(() => {});
  await addStream(manager, { name: 'T', subjects: ['t.>'], allow_direct: true, allow_atomic: true });
  return jetStream(connection, 'T');
});

// Who vouches for actors: a server that lets each user publish under its own actor only; one that asks nobody is refused.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from '@nats-io/transport-node';
import { systemClock } from '../../services/lib/clock.ts';
import { readConfig } from '../../services/lib/config.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { prepareServer, Unusable } from '../../services/up/server.ts';
import { startNats, type TestNats } from '../support/nats.ts';

const sender = (actor: string): string => `{ user: ${actor}, password: pw, permissions: {
  publish: ["cnm.command.${actor}.>", "_INBOX.>"], subscribe: ["cnm.reply.${actor}.>", "_INBOX.>"] } }`;
const users = `authorization { users: [ { user: services, password: pw }, ${sender('alice')}, ${sender('mallory')} ] }`;

const prepare = (url: string): Promise<void> => {
  const read = readConfig({
    CNM_NATS_URL: url,
    CNM_NATS_SYNC: 'always',
    CNM_ACTORS: 'authenticated',
    CNM_RUN_DIR: '/run/cnm',
  });
  assert.ok(read.ok);
  return prepareServer(url, read.config, silentLogger(), systemClock);
};

let open: TestNats;
let closed: TestNats;
const urlOf = (user: string): string => closed.url.replace('nats://', `nats://${user}:pw@`);

before(async () => {
  [open, closed] = await Promise.all([startNats(), startNats({ config: users })]);
});
after(() => Promise.all([open.stop(), closed.stop()]));

test('actors are not called proven by a server that asks nobody who they are', async () => {
  await assert.rejects(
    prepare(open.url),
    (error) => error instanceof Unusable && error.problems.map(({ code }) => code).join() === 'ACTORS_UNPROVEN',
  );
});

test('a user whose permissions are its own actor sends nothing under another', async () => {
  await prepare(urlOf('services'));
  const [alice, mallory, services] = await Promise.all(
    ['alice', 'mallory', 'services'].map((user) => {
      const [url, pass] = [closed.url, 'pw'];
      return connect({ servers: url, user, pass });
    }),
  );
  assert.ok(alice && mallory && services);
  const send = (from: typeof alice, actor: string) => from.request(`cnm.command.${actor}.h1`, '{}', { timeout: 2_000 });
  const sequence = async (from: typeof alice, actor: string): Promise<number> =>
    (await send(from, actor)).json<{ seq: number }>().seq;
  assert.equal(await sequence(alice, 'alice'), 1);
  await assert.rejects(send(mallory, 'alice'), /permissions violation|Permissions Violation/i);
  assert.equal(await sequence(mallory, 'mallory'), 2);
  const info = (await services.request('$JS.API.STREAM.INFO.CNM_COMMANDS')).json<{ state: { messages: number } }>();
  assert.equal(info.state.messages, 2);
  await Promise.all([alice, mallory, services].map((connection) => connection.close()));
});

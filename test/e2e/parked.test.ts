// Poison as an operator meets it: found, looked at, tried and discarded with the command line, while what runs goes on running.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { subjects } from '../../events/names.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { testStream, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { makePlace, type Place, type Running } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let place: Place;
  let up: Running;

  before(async () => {
    sh('ip link set lo up; sysctl -qw net.ipv4.ip_forward=1');
    place = makePlace();
    up = await place.up();
  });
  after(async () => {
    await up.end();
    place.remove();
  });

  const works = (...words: string[]): string => {
    const said = place.cnm(...words);
    assert.equal(said.exit, 0, `cnm ${words.join(' ')}: ${said.out}${said.err}`);
    return said.out;
  };
  const fails = (exit: number, pattern: RegExp, ...words: string[]): void => {
    const said = place.cnm(...words);
    assert.equal(said.exit, exit, `cnm ${words.join(' ')}: ${said.out}${said.err}`);
    assert.match(said.err, pattern);
  };
  /** By a client that has nothing of ours but the address. */
  const append = async (subject: string, body: string): Promise<number> => {
    const connection = await connectNats({ url: up.url, role: 'test', log: pino({ level: 'silent' }) });
    const appended = await testStream(connection, 'CNM_LOG').append({ subject, body, id: 'poison' });
    await connection.close();
    return appended.kind === 'appended' ? appended.position : assert.fail(appended.kind);
  };

  test('parked: what nobody can read stands still, and is discarded, by the command line', async () => {
    works('network', 'create', 'web', '--subnet', '10.9.1.0/24');
    works('sandbox', 'attach', 's1', '--network', 'web:ip=10.9.1.5');
    works('sandbox', 'attach', 's2', '--network', 'web');
    assert.equal(works('parked', 'ls').split('\n').length, 2, 'nothing but titles');
    const [{ id }] = place.json('endpoint', 'ls').rows;
    const poison = [
      {
        ...{ specversion: '1.0', id: 'x.0', type: 'cnm.EndpointJoined.v3', source: '/cnm/e2e/worker/h1', data: null },
        ...{
          subject: `endpoint/${id}`,
          time: new Date().toISOString(),
          actor: '',
          commandid: '',
          correlationid: '',
          causationid: '',
        },
      },
    ];
    const position = await append(subjects.outcome('h1'), JSON.stringify(poison));
    const event = `${position}.0`;
    await waitFor(() => place.json('parked', 'ls').rows.length === 1, { what: 'it to be parked' });
    assert.match(works('parked', 'ls'), new RegExp(`^${event} +h1 +endpoint/${id} +cnm.EndpointJoined.v3 +0 `, 'm'));
    assert.match(
      works('parked', 'show', String(position)),
      /^why: +event cnm.EndpointJoined.v3 lacks attributes or data/m,
    );
    fails(
      1,
      new RegExp(`^BOUNDARY_PARKED: event ${event} stops host h1.*cnm parked ls`, 's'),
      'sandbox',
      'detach',
      's1',
    );
    works('sandbox', 'exec', 's2', '--', 'ping', '-c1', '-W2', '10.9.1.5');

    // All of it starts with poison on the log.
    assert.equal(await up.end(), 0);
    up = await place.up();
    assert.equal(place.json('parked', 'ls').rows[0].position, event);
    fails(1, /BOUNDARY_PARKED/, 'sandbox', 'detach', 's1');

    assert.match(
      works('parked', 'retry', event, '--dry-run'),
      /this version cannot fold it: .*a retry would change nothing here/s,
    );
    assert.match(works('parked', 'discard', event, '--dry-run'), /discarding it changes no view/);
    assert.equal(place.json('parked', 'ls').rows.length, 1, 'nothing was sent');
    assert.match(works('parked', 'retry', event), new RegExp(`^${event} is still parked`));
    fails(2, /--reason is missing/, 'parked', 'discard', event);
    fails(2, /no event such as 812.0/, 'parked', 'show', 'it');
    fails(1, /no view has parked 1.0/, 'parked', 'discard', '1', '--reason', 'none');
    assert.match(
      works('parked', 'discard', event, '--reason', 'never happened'),
      new RegExp(`^${event} is parked no more`),
    );
    const { rows } = place.json('events', '--type', 'ParkedRetried,ParkedDiscarded');
    assert.deepEqual(
      rows.map(({ actor, data }: { actor: string; data: object }) => [actor, data]),
      [
        ['tester', { position, index: 0 }],
        ['tester', { position, index: 0, reason: 'never happened' }],
      ],
    );
    // The host's worker starts anew with it.
    works('sandbox', 'detach', 's1');
    works('sandbox', 'detach', 's2');
    works('network', 'rm', 'web');
    assert.match(works('rebuild', 'all', '--dry-run'), /: all at position \d+ is equal \(/);
  });
}

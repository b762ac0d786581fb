// Networks of the realm while a host stands still: nobody is admitted where something of it waits that holds names and addresses there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subjects } from '../../events/names.ts';
import { RealmStage } from '../support/realm-stage.ts';

const attach = (sandbox: string, network: string) => ({ sandbox, networks: [{ network, name: sandbox }] });
const decoder = new TextDecoder();

test('parked: what waits of a host keeps others out of its networks of the realm, and out of no others', async () => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  await stage.controller();
  for (const name of ['web', 'far'])
    assert.equal(await stage.code('CreateNetwork', { name, driver: 'overlay' }), 'succeeded');
  assert.equal(await stage.code('AttachSandbox', attach('one', 'web'), 'h1'), 'succeeded');
  await stage.settled();
  const creation = stage.log
    .stored()
    .find(({ subject, body }) => subject === subjects.host('h1') && decoder.decode(body).includes('"one"'));
  assert.ok(creation);
  const created = stage
    .events()
    .find((event) => event.type === 'EndpointCreateRequested' && event.data.endpoint.name === 'one');
  assert.ok(created?.type === 'EndpointCreateRequested');
  const { id, ipv4, mac } = created.data.endpoint;
  await stage.reporters.get('h1')?.stop();

  const poisoned = await stage.log.append({ subject: subjects.host('h1'), body: '{}', id: 'poison' });
  assert.ok(poisoned.kind === 'appended');
  // As a controller of another version may have decided behind it: the same creation once more, of another endpoint.
  const body = decoder
    .decode(creation.body)
    .replaceAll(id, 'another')
    .replaceAll('"one"', '"two"')
    .replaceAll(created.meta.commandid, `${created.meta.commandid}b`)
    .replaceAll(String(ipv4), '10.204.0.77/24')
    .replaceAll(String(mac), '02:42:0a:cc:00:4d')
    .replaceAll(created.meta.id.split('.')[0] ?? '', 'commit-two');
  await stage.log.append({ subject: subjects.host('h1'), body, id: 'commit-two' });

  const refused = await stage.run('AttachSandbox', attach('two', 'web'), 'h2');
  assert.deepEqual(
    [refused.code, refused.culprits],
    [
      'BOUNDARY_PARKED',
      [
        { kind: 'event', id: `${poisoned.position}.0` },
        { kind: 'host', id: 'h1' },
      ],
    ],
  );
  assert.equal(await stage.code('DeleteNetwork', { network: 'web' }), 'BOUNDARY_PARKED');
  assert.equal(await stage.code('AttachSandbox', attach('two', 'far'), 'h2'), 'succeeded');
  assert.equal(await stage.code('AttachSandbox', attach('three', 'far'), 'h1'), 'BOUNDARY_PARKED');
  assert.equal(await stage.code('DiscardParked', { position: 1, index: 0, reason: 'another' }), 'succeeded');
  assert.equal(
    await stage.code('AttachSandbox', attach('three', 'far'), 'h1'),
    'BOUNDARY_PARKED',
    'nothing was parked there',
  );
  assert.equal(
    await stage.code('DiscardParked', { position: poisoned.position, index: 0, reason: 'no commit' }),
    'succeeded',
  );
  assert.equal(
    await stage.code('CreateEndpoint', { network: 'web', name: 'two' }, 'h2'),
    'ENDPOINT_EXISTS',
    'it holds its name',
  );
  assert.equal(await stage.code('AttachSandbox', attach('four', 'web'), 'h2'), 'succeeded');
  await stage.stop();
});

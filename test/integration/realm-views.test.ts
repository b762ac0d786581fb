// How networks of the realm are asked for: by any host that there is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeCommit } from '../../events/envelope.ts';
import { createMatcher, emptyMemory } from '../../projections/event-filter.ts';
import { type Filter, selectRows } from '../../projections/filter.ts';
import { originOf } from '../../projections/origin.ts';
import { RealmStage } from '../support/realm-stage.ts';

test('networks of the realm are found from every host that there is, and what is in them on its own', async () => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  await stage.controller();
  await stage.run('CreateNetwork', { name: 'web', driver: 'overlay' });
  await stage.run('CreateNetwork', { name: 'own' }, 'h1');
  for (const host of ['h1', 'h2']) await stage.run('CreateEndpoint', { network: 'web', name: host }, host);
  await stage.settled();
  const views = stage.views();
  const named = (view: 'networks' | 'endpoints', filter: Filter): readonly unknown[] =>
    [...selectRows(views, view, filter)].map(([, row]) => ('name' in row ? row.name : row));
  assert.deepEqual(named('networks', { host: 'h1' }), ['web', 'own']);
  assert.deepEqual(named('networks', { host: 'h2' }), ['web']);
  assert.deepEqual(named('networks', { host: 'h9' }), []);
  for (const network of ['web', 'h1/WEB', 'h2/web']) assert.deepEqual(named('networks', { network }), ['web']);
  assert.deepEqual(named('networks', { network: 'h9/web' }), []);
  assert.deepEqual(named('endpoints', { network: 'web' }), ['h1', 'h2']);
  assert.deepEqual(named('endpoints', { network: 'h2/web' }), ['h2']);
  assert.deepEqual(named('networks', { scope: 'swarm' }), ['web']);
  assert.deepEqual(named('networks', { scope: 'local' }), ['own']);
  const matches = createMatcher({ network: 'h2/web' }, emptyMemory());
  const about = stage.log
    .stored()
    .flatMap(({ body, subject }) =>
      decodeCommit(body, subject).filter((event) => matches(event, originOf(subject).host)),
    );
  assert.deepEqual(
    about.filter(({ type }) => type === 'NetworkCreateRequested' || type === 'EndpointCreateRequested').length,
    3,
  );
  await stage.stop();
});

// Views that rows come into and go out of for long: their maps are made anew meanwhile, and nobody sees it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyViews, createViews } from '../../projections/views.ts';
import { Told } from '../support/told.ts';

test('rows that come and go leave those that stay, in the order in which they came', () => {
  const log = new Told();
  log.network('web');
  for (let n = 0; n < 800; n++) {
    log.endpoint('web', `${n}`, { ipv4: `10.0.${1 + (n >> 8)}.${n & 255}/16` });
    const gone = { endpointId: `end${n - 3}`, networkId: 'netweb', name: `${n - 3}` };
    if (n < 3) continue;
    const intent = log.tell('EndpointDeleteRequested', { ...gone, cause: 'command', garbage: null });
    log.tell('EndpointDeleted', gone, intent);
  }
  const views = createViews();
  const { rows: first } = views;
  log.views(0, views);
  const ids = ['end797', 'end798', 'end799'];
  assert.notEqual(views.rows.endpoints, first.endpoints);
  assert.deepEqual([...views.rows.endpoints.keys()], ids);
  assert.deepEqual(
    [...views.rows.addresses.values()].map(({ address, holderId }) => [address, holderId]),
    [['10.0.0.1', null], ...ids.map((id, n) => [`10.0.4.${29 + n}`, id])],
  );
  assert.equal(views.rows.networks.get('netweb')?.endpoints, 3);
  assert.equal(views.rows.commands.size, log.commits.filter(({ event }) => event.meta.commandseq !== undefined).length);

  const copy = copyViews(views);
  log.endpoint('web', 'last');
  log.views(0, views);
  assert.deepEqual([...views.rows.endpoints.keys()], [...ids, 'endlast']);
  assert.deepEqual([...copy.rows.endpoints.keys()], ids);
});

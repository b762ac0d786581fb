// The view of names, and who has names by a boundary's state: the same endpoints after every event, whatever has happened.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evolve } from '../../events/evolve.ts';
import { initialState } from '../../events/state.ts';
import { type Filter, selectRows } from '../../projections/filter.ts';
import { namesOf } from '../../projections/names.ts';
import { membersOf } from '../../services/dns/members.ts';
import { Told } from '../support/told.ts';

/** Names by endpoint in the view, after checking that the boundary's state says the same. */
const namesIn = (log: Told): Readonly<Record<string, readonly string[]>> => {
  const state = initialState();
  for (const { event, position } of log.commits) evolve(state, event, position);
  const members = membersOf(state).map(({ endpoint, sandbox }) => [endpoint.name, namesOf(endpoint, sandbox)] as const);
  const rows = [...log.views().rows.names.values()].map(({ endpoint, names }) => [endpoint, names] as const);
  assert.deepEqual(new Map(members.toSorted()), new Map(rows.toSorted()));
  return Object.fromEntries(rows);
};

const settings = (...aliases: string[]) => ({ aliases, ports: [], gatewayPriority: 0 });

/** Two endpoints of a network; `a` is in a sandbox. */
const joined = (): Told => {
  const log = new Told();
  log.network('web');
  log.sandbox('s1', { hostname: 'Box', domainname: 'corp.example' });
  log.endpoint('web', 'a', { ipv4: '10.0.0.2/24', ipv6: 'fd00::2/64', aliases: ['App', 'app'], links: { db: 'b' } });
  log.endpoint('web', 'b', { ipv4: '10.0.0.3/24' });
  log.joined('web', 'a', 's1', log.join('web', 'a', 's1'));
  return log;
};

test('names: from the report of a join to the report of the leave', () => {
  const log = new Told();
  log.network('web');
  log.endpoint('web', 'a', { ipv4: '10.0.0.2/24' });
  assert.deepEqual(namesIn(log), {});
  const join = log.join('web', 'a', 's1');
  assert.deepEqual(namesIn(log), {}, 'not before it is done');
  log.joined('web', 'a', 's1', join);
  assert.deepEqual(namesIn(log), { a: ['a'] });
  const leave = log.leave('web', 'a', 's1', true);
  assert.deepEqual(namesIn(log), { a: ['a'] }, 'not only because it is to leave');
  log.left('web', 'a', 's1', leave);
  assert.deepEqual(namesIn(log), {});
});

test('names: its own, its aliases, the hostname, each once and in lower case', () => {
  const log = joined();
  assert.deepEqual(namesIn(log), { a: ['a', 'app', 'box', 'box.corp.example'] });
  const [row] = log.views().rows.names.values();
  assert.partialDeepStrictEqual(row, {
    ...{ endpointId: 'enda', endpoint: 'a', host: 'h1', network: 'web', networkId: 'netweb', sandbox: 's1' },
    ...{ links: { db: 'b' }, ipv4: '10.0.0.2', ipv6: 'fd00::2', changedPosition: 6 },
  });
});

test('names: found by filter', () => {
  const log = joined();
  const count = (filter: Filter): number => [...selectRows(log.views(), 'names', filter)].length;
  const ways: Filter[] = [
    { names: 'app' },
    { network: 'WEB' },
    { sandbox: 's1' },
    { endpoint: 'A' },
    { endpointId: 'enda' },
  ];
  for (const filter of ways) assert.equal(count(filter), 1, JSON.stringify(filter));
  assert.equal(count({ names: 'b' }), 0);
});

test('names: a join that failed has none, and one that was undone has none any more', () => {
  const log = new Told();
  log.network('web');
  log.endpoint('web', 'a');
  const join = log.join('web', 'a', 's1');
  const { id, incarnation } = log.sandbox('s1');
  const about = { endpointId: 'enda', networkId: 'netweb', name: 'a', sandbox: { id, incarnation } };
  const fault = { code: 'TIMED_OUT', step: '', errno: '', text: '', retryable: true, undoFaults: [] };
  log.joined('web', 'a', 's1', join);
  assert.deepEqual(namesIn(log), { a: ['a'] });
  log.tell('EndpointJoinFailed', { ...about, fault }, join);
  assert.deepEqual(namesIn(log), {});
});

test('names: new aliases hold from the report of the update, and the old ones stay when it fails', () => {
  const log = joined();
  const hostnames = ['box', 'box.corp.example'];
  const first = log.update('web', 'a', settings('one'));
  const second = log.update('web', 'a', settings('two'));
  assert.deepEqual(namesIn(log), { a: ['a', 'app', ...hostnames] });
  log.updated('web', 'a', first);
  assert.deepEqual(namesIn(log), { a: ['a', 'one', ...hostnames] });
  log.failed('EndpointUpdateFailed', 'web', 'a', second);
  assert.deepEqual(namesIn(log), { a: ['a', 'one', ...hostnames] });
  log.updated('web', 'b', log.update('web', 'b', settings('unseen')));
  assert.deepEqual(namesIn(log), { a: ['a', 'one', ...hostnames] }, 'that one is in no sandbox');
});

test('names: a leave that is reverted has changed nothing', () => {
  const log = joined();
  const before = namesIn(log);
  const leave = log.leave('web', 'a', 's1');
  log.leaveReverted('web', 'a', 's1', leave);
  assert.deepEqual(namesIn(log), before);
});

test('names: who leaves to join elsewhere has its old names until it has left', () => {
  const log = joined();
  const leave = log.leave('web', 'a', 's1', true);
  log.left('web', 'a', 's1', leave);
  const join = log.join('web', 'a', 's2');
  assert.deepEqual(namesIn(log), {});
  log.joined('web', 'a', 's2', join);
  assert.deepEqual(namesIn(log), { a: ['a', 'app'] });
});

test('names: who could not leave, is deleted or loses its network has none', () => {
  const fault = { code: 'KERNEL_ERROR', step: '', errno: '', text: '', retryable: true, undoFaults: [] };
  const about = { endpointId: 'enda', networkId: 'netweb', name: 'a' };
  const stuck = joined();
  const { id, incarnation } = stuck.sandbox('s1');
  const leave = stuck.leave('web', 'a', 's1', true);
  stuck.tell('EndpointLeaveFailed', { ...about, sandbox: { id, incarnation }, fault }, leave);
  assert.deepEqual(namesIn(stuck), {});

  const deleted = joined();
  const [left, gone] = [
    deleted.leave('web', 'a', 's1', true),
    deleted.tell('EndpointDeleteRequested', { ...about, cause: 'detach', garbage: null }),
  ];
  assert.deepEqual(Object.keys(namesIn(deleted)), ['a']);
  deleted.left('web', 'a', 's1', left);
  assert.deepEqual(namesIn(deleted), {});
  deleted.tell('EndpointDeleted', about, gone);
  assert.deepEqual(namesIn(deleted), {});

  const undone = joined();
  const network = undone.commits.find(({ event }) => event.type === 'NetworkCreateRequested');
  undone.tell('NetworkCreateFailed', { networkId: 'netweb', name: 'web', fault }, network?.event.meta.id ?? '');
  assert.deepEqual(namesIn(undone), {});
});

test('names: in the order in which the endpoints of a sandbox joined, those that leave behind the others', () => {
  const log = new Told();
  for (const name of ['one', 'two', 'three']) {
    log.network(name);
    log.endpoint(name, name[1] ?? '');
  }
  for (const [network, name] of [
    ['two', 'w'],
    ['three', 'h'],
    ['one', 'n'],
  ] as const)
    log.joined(network, name, 's1', log.join(network, name, 's1'));
  const order = (): readonly string[] => {
    const state = initialState();
    for (const { event, position } of log.commits) evolve(state, event, position);
    return membersOf(state).map(({ endpoint }) => endpoint.name);
  };
  assert.deepEqual(order(), ['w', 'h', 'n']);
  log.leave('two', 'w', 's1');
  assert.deepEqual(order(), ['h', 'n', 'w']);
});

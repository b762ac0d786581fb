// The views tell of the histories of the model, at every position, what the fold that decides knows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCommit } from '../../events/envelope.ts';
import type { Gateways } from '../../events/events.ts';
import { isNothing } from '../../events/quotas.ts';
import { applyCommit, createViews, type Views } from '../../projections/views.ts';
import { applyMessage, emptyRealm, type Realm } from '../../services/lib/realm.ts';
import { Model } from './model.ts';
import { moves, realmMoves } from './model-moves.ts';
import { play, playTogether } from './model-play.ts';

const numRuns = Number(process.env.MODEL_RUNS ?? 100);

const lines = <T>(rows: Iterable<T>, show: (row: T) => readonly unknown[]): readonly string[] =>
  [...rows].map((row) => show(row).join(' ')).sort();
const both = ({ ipv4, ipv6 }: Gateways): string => `${ipv4}/${ipv6}`;

const decided = (realm: Realm) => {
  const states = [...realm.boundaries.values()].map(({ state }) => state);
  return {
    networks: lines(
      [...states.flatMap(({ networks }) => [...networks.values()]), ...realm.shared.networks.values()],
      ({ facts, status }) => [facts.id, status],
    ),
    endpoints: lines(
      states.flatMap(({ endpoints }) => [...endpoints.values()]),
      (row) => [row.facts.id, row.status, row.generation, row.suspected, row.sandbox?.incarnation, row.idleSince],
    ),
    sandboxes: lines(
      states.flatMap(({ sandboxes }) => [...sandboxes.values()]),
      ({ facts, status, members, gateways }) => [facts.incarnation, status, members, both(gateways)],
    ),
    uses: lines(realm.shared.uses, ([actor, { networks, endpoints, addresses, ports }]) => [
      ...[actor, networks, endpoints, addresses, ports],
    ]),
    running: lines(
      states.flatMap(({ progress }) => [...progress.values()]),
      ({ actor, commandid }) => [actor, commandid],
    ),
  };
};

const viewed = ({ rows }: Views) => ({
  networks: lines(rows.networks.values(), ({ id, status }) => [id, status]),
  endpoints: lines(rows.endpoints.values(), (row) => [
    ...[row.id, row.status, row.generation, row.suspected],
    ...[row.sandboxIncarnation ?? undefined, row.idleSince],
  ]),
  sandboxes: lines(rows.sandboxes.values(), ({ incarnation, status, members, gateways }) => [
    ...[incarnation, status, members.map(({ endpointId }) => endpointId), both(gateways)],
  ]),
  uses: lines(
    [...rows.quotas.values()].filter((row) => !isNothing(row)),
    ({ actor, networks, endpoints, addresses, ports }) => [actor, networks, endpoints, addresses, ports],
  ),
  running: lines(
    [...rows.commands.values()].filter(({ status }) => status === 'accepted'),
    ({ actor, commandid }) => [actor, commandid],
  ),
});

const compare = ({ log }: Model): void => {
  const [views, realm] = [createViews(), emptyRealm()];
  for (const message of log) {
    applyCommit(views, message.subject, message.position, decodeCommit(message.body, message.subject));
    applyMessage(realm, message);
    assert.deepEqual(viewed(views), decided(realm), `at position ${message.position}`);
  }
};

test('the views say what the deciding fold knows, at every position', () => {
  fc.assert(
    fc.property(moves, (steps) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      compare(model);
    }),
    { numRuns },
  );
});

test('the views say what the deciding fold knows of networks that are on several hosts, at every position', () => {
  fc.assert(
    fc.property(realmMoves, (steps) => {
      const model = new Model(2, ['h1', 'h2', 'h3'], 'together');
      playTogether(model, steps);
      compare(model);
    }),
    { numRuns: Math.ceil(numRuns * 0.4) },
  );
});

// The views over random histories: they agree with the rules that decide, and folding them is the same however it is cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { viewNames } from '../../events/queries.ts';
import type { BoundaryState } from '../../events/state.ts';
import { compareViews, linesOf } from '../../projections/compare.ts';
import { applyCommit, copyViews, createViews, type Views } from '../../projections/views.ts';
import { historyOf, type RandomCommit, type Roll } from '../support/random-history.ts';

/** Even, so that every move is made about as often as the history lists it. */
const unit = fc.noBias(fc.nat({ max: 9_999 })).map((n) => n / 10_000);
const rolls: fc.Arbitrary<readonly Roll[]> = fc.array(fc.tuple(unit, unit, unit, unit), {
  maxLength: 250,
  size: 'max',
});

const fold = (commits: readonly RandomCommit[], views: Views = createViews()): Views => {
  for (const { subject, position, events } of commits) applyCommit(views, subject, position, events);
  return views;
};

const textOf = (views: Views): string => viewNames.map((view) => [...linesOf(views, view)].join('')).join('--\n');

const sortedById = <Row extends { readonly id: string }>(rows: Iterable<Row>): readonly Row[] =>
  [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));

const ruled = (states: Iterable<BoundaryState>) => {
  const all = [...states];
  const networks = all.flatMap(({ networks: table }) => [...table.values()]);
  const endpoints = all.flatMap(({ endpoints: table }) => [...table.values()]);
  const sandboxes = all.flatMap(({ sandboxes: table }) => [...table.values()]);
  return {
    networks: sortedById(
      networks.map(({ facts: { id, name }, status, intent }) => {
        const count = endpoints.filter(({ facts }) => facts.networkId === id).length;
        return { id, name, status, intent, endpoints: count };
      }),
    ),
    endpoints: sortedById(
      endpoints.map(({ facts: { id, name, ipv4 }, sandbox, ...row }) => ({
        ...{ id, name, ipv4, sandbox: sandbox?.id ?? null, sandboxIncarnation: sandbox?.incarnation ?? null },
        ...{ status: row.status, intent: row.intent, generation: row.generation, idleSince: row.idleSince },
        ...{ lastSandbox: row.lastSandbox, suspected: row.suspected },
      })),
    ),
    sandboxes: sortedById(
      sandboxes.map(({ facts: { id: name, incarnation: id }, status, members, gateways }) => {
        const leaving = endpoints
          .filter(({ facts, sandbox }) => sandbox?.incarnation === id && !members.includes(facts.id))
          .map(({ facts }) => facts.id);
        return { id, name, status, members: [...members], leaving: leaving.sort(), gateways };
      }),
    ),
    drivers: all.flatMap(({ drivers }) => [...drivers.values()].map(({ options, intent: id }) => ({ id, options }))),
    commands: all
      .flatMap(({ progress }) => [...progress.values()])
      .sort((a, b) => (a.commandid < b.commandid ? -1 : 1)),
  };
};

const viewed = ({ rows }: Views): ReturnType<typeof ruled> => ({
  networks: sortedById(
    [...rows.networks.values()].map(({ id, name, status, intent, endpoints }) => ({
      ...{ id, name, status, intent, endpoints },
    })),
  ),
  endpoints: sortedById(
    [...rows.endpoints.values()].map(({ id, name, ipv4, sandbox, sandboxIncarnation, ...row }) => ({
      ...{ id, name, ipv4, sandbox, sandboxIncarnation },
      ...{ status: row.status, intent: row.intent, generation: row.generation, idleSince: row.idleSince },
      ...{ lastSandbox: row.lastSandbox, suspected: row.suspected },
    })),
  ),
  sandboxes: sortedById(
    [...rows.sandboxes.values()].map(({ id: name, incarnation: id, status, members, leaving, gateways }) => {
      const ids = members.map(({ endpointId }) => endpointId);
      return { id, name, status, members: ids, leaving: [...leaving].sort(), gateways };
    }),
  ),
  drivers: [...rows.drivers.values()]
    .sort((a, b) => (a.host < b.host ? -1 : 1))
    .map(({ options, intent: id }) => ({ id, options })),
  commands: [...rows.commands.values()]
    .filter(({ status }) => status === 'accepted')
    .map(({ host: _host, ...record }) => record)
    .sort((a, b) => (a.commandid < b.commandid ? -1 : 1)),
});

test('states and members are those that the rules decide on, however late outcomes come', () => {
  fc.assert(
    fc.property(rolls, (list) => {
      const { commits, states } = historyOf(list);
      const views = fold(commits);
      assert.deepEqual(viewed(views), ruled(states.values()));
    }),
    { numRuns: 2_000 },
  );
});

test('what is derived agrees with what it is derived from', () => {
  fc.assert(
    fc.property(rolls, (list) => {
      const { rows } = fold(historyOf(list).commits);
      const created = [...rows.endpoints.values()].filter(({ status }) => status === 'created');
      assert.deepEqual([...rows.garbage.keys()].sort(), created.map(({ id }) => id).sort());
      const held = [...rows.addresses.values()].filter(({ kind }) => kind === 'endpoint');
      const owned = [...rows.endpoints.values()].filter(({ ipv4 }) => ipv4 !== null);
      assert.deepEqual(held.map(({ holderId }) => holderId).sort(), owned.map(({ id }) => id).sort());
      for (const { networkId } of rows.addresses.values()) assert.ok(rows.networks.has(networkId));
    }),
    { numRuns: 500 },
  );
});

test('a rebuilt view is the live one byte for byte, folded at once or in pieces', () => {
  fc.assert(
    fc.property(rolls, fc.nat(), (list, cut) => {
      const { commits } = historyOf(list);
      const at = cut % (commits.length + 1);
      const whole = fold(commits);
      const first = fold(commits.slice(0, at));
      const before = textOf(first);
      const second = fold(commits.slice(at), copyViews(first));
      assert.equal(textOf(second), textOf(whole));
      assert.deepEqual(compareViews(second, whole), []);
      // rows are replaced and never changed, so what was copied stands still
      assert.equal(textOf(first), before);
    }),
    { numRuns: 500 },
  );
});

test('what was folded already changes nothing when it comes again', () => {
  fc.assert(
    fc.property(rolls, fc.nat(), (list, from) => {
      const { commits } = historyOf(list);
      const views = fold(commits);
      const before = textOf(views);
      assert.equal(textOf(fold(commits.slice(from % commits.length), views)), before);
    }),
    { numRuns: 200 },
  );
});

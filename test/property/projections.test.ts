// The views over random histories: they agree with the rules that decide, and folding them is the same however it is cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PublishedPort } from '../../events/events.ts';
import { heldBy } from '../../events/leases.ts';
import type { BoundaryState } from '../../events/state.ts';
import { compareViews } from '../../projections/compare.ts';
import { copyViews, type Views } from '../../projections/views.ts';
import { historyOf } from '../support/random-history.ts';
import { fold, rolls, textOf } from './histories.ts';

const sortedById = <Row extends { readonly id: string }>(rows: Iterable<Row>): readonly Row[] =>
  [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));

const ruled = (states: Iterable<BoundaryState>) => {
  const all = [...states];
  const networks = all.flatMap(({ networks: table }) => [...table.values()]);
  const endpoints = all.flatMap(({ endpoints: table }) => [...table.values()]);
  const sandboxes = all.flatMap(({ sandboxes: table }) => [...table.values()]);
  return {
    networks: sortedById(
      networks.map(({ facts: { id, name, labels, mtu }, status, intent, update }) => {
        const count = endpoints.filter(({ facts }) => facts.networkId === id).length;
        return { id, name, status, intent, update, labels, mtu, endpoints: count };
      }),
    ),
    endpoints: sortedById(
      endpoints.map(({ facts: { id, name, ipv4, ...facts }, sandbox, ...row }) => ({
        ...{ aliases: facts.aliases, ports: facts.ports, gatewayPriority: facts.gatewayPriority },
        ...{ leave: row.leave, update: row.update },
        ...{ id, name, ipv4, sandbox: sandbox?.id ?? null, sandboxIncarnation: sandbox?.incarnation ?? null },
        ...{ status: row.status, intent: row.intent, generation: row.generation, idleSince: row.idleSince },
        ...{ lastSandbox: row.lastSandbox, suspected: row.suspected },
      })),
    ),
    sandboxes: sortedById(
      sandboxes.map(({ facts: { id: name, incarnation: id, ports }, status, members, gateways }) => {
        const leaving = endpoints
          .filter(({ facts, sandbox }) => sandbox?.incarnation === id && !members.includes(facts.id))
          .map(({ facts }) => facts.id);
        return { id, name, status, ports, members: [...members], leaving: leaving.sort(), gateways };
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
    [...rows.networks.values()].map(({ id, name, status, intent, update, labels, mtu, endpoints }) => ({
      ...{ id, name, status, intent, update, labels, mtu, endpoints },
    })),
  ),
  endpoints: sortedById(
    [...rows.endpoints.values()].map(({ id, name, ipv4, sandbox, sandboxIncarnation, ...row }) => ({
      ...{ aliases: row.aliases, ports: row.ports, gatewayPriority: row.gatewayPriority },
      ...{ leave: row.leave, update: row.update },
      ...{ id, name, ipv4, sandbox, sandboxIncarnation },
      ...{ status: row.status, intent: row.intent, generation: row.generation, idleSince: row.idleSince },
      ...{ lastSandbox: row.lastSandbox, suspected: row.suspected },
    })),
  ),
  sandboxes: sortedById(
    [...rows.sandboxes.values()].map(({ id: name, incarnation: id, status, ports, members, leaving, gateways }) => {
      const ids = members.map(({ endpointId }) => endpointId);
      return { id, name, status, ports, members: ids, leaving: [...leaving].sort(), gateways };
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

const unique = (texts: readonly string[]): readonly string[] => [...new Set(texts)].sort();

const placesOf = (holder: string, leases: readonly PublishedPort[]): readonly string[] =>
  leases.flatMap(({ protocol, hostAddresses, hostPort, port }) =>
    hostAddresses.map((address) => `${holder} ${protocol} ${address} ${hostPort || `?${port}`}`),
  );

test('ports are those that the rules hold, and the default routes where the rules have them', () => {
  fc.assert(
    fc.property(rolls, (list) => {
      const { commits, states } = historyOf(list);
      const { rows } = fold(commits);
      const held = [...states.values()].flatMap(({ endpoints, sandboxes }) => [
        ...[...endpoints.values()].flatMap((row) => placesOf(row.facts.id, heldBy(row))),
        ...[...sandboxes.values()].flatMap(({ facts }) => placesOf(facts.incarnation, facts.ports)),
      ]);
      const shown = [...rows.ports.values()].map(({ holderId, protocol, hostAddress, hostPort, port }) => {
        return `${holderId} ${protocol} ${hostAddress} ${hostPort || `?${port}`}`;
      });
      assert.deepEqual(unique(shown), unique(held));
      const carriers = [...rows.endpoints.values()].filter(({ gateway }) => gateway.ipv4).map(({ id }) => id);
      const elected = [...rows.sandboxes.values()].flatMap(({ incarnation, gateways: { ipv4 } }) => {
        // A history without rules may leave an endpoint among the members of a sandbox that it has left.
        const isIn = rows.endpoints.get(ipv4 ?? '')?.sandboxIncarnation === incarnation;
        return ipv4 !== null && isIn ? [ipv4] : [];
      });
      assert.deepEqual(unique(carriers), unique(elected));
      for (const row of rows.ports.values()) {
        if (row.address === null) continue;
        const target = rows.endpoints.get(row.endpointId ?? '');
        const leads = target?.portMap.some(
          ({ protocol, hostAddress, hostPort }) =>
            protocol === row.protocol && hostAddress === row.hostAddress && hostPort === row.hostPort,
        );
        assert.ok(leads, `${JSON.stringify(row)} is not in the port map of ${JSON.stringify(target)}`);
      }
    }),
    { numRuns: 1_000 },
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

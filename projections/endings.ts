/** What ends in the views with something else, and without a word of its own: endpoints with their network, and everything with its host. */
import { commandStep } from '../events/command-record.ts';
import type { Event, EventOf } from '../events/envelope.ts';
import { addresses } from './addresses.ts';
import { type CommandRow, noCommand } from './commands.ts';
import { followRoutes } from './default-routes.ts';
import type { EndpointRow } from './endpoints.ts';
import { garbage } from './garbage.ts';
import { leases } from './leases.ts';
import { names } from './names.ts';
import { countEndpoints } from './networks.ts';
import { followGateways, followPorts } from './port-map.ts';
import { ports } from './ports.ts';
import type { At } from './projection.ts';
import { quotas } from './quotas.ts';
import { sandboxAbout } from './sandbox-about.ts';
import { sandboxes } from './sandboxes.ts';
import type { Rows } from './views.ts';

/** Nothing of these endpoints could be named or reached any more. */
export const endEndpoints = (rows: Rows, isEnding: (endpoint: EndpointRow) => boolean, event: Event, at: At): void => {
  for (const endpoint of rows.endpoints.values()) {
    if (!isEnding(endpoint)) continue;
    rows.endpoints.delete(endpoint.id);
    const sandboxBefore = rows.sandboxes.get(endpoint.sandboxIncarnation ?? '');
    const networkAbout = rows.networks.get(endpoint.networkId);
    const about = { networkAbout, sandboxAbout: sandboxAbout(rows, event, endpoint) };
    const ending: At = { ...at, networkBefore: undefined, endpointBefore: endpoint, sandboxBefore, ...about };
    sandboxes.apply(rows.sandboxes, event, ending);
    addresses.apply(rows.addresses, event, ending);
    names.apply(rows.names, event, ending);
    ports.apply(rows.ports, event, ending);
    garbage.apply(rows.garbage, event, ending);
    leases.apply(rows.leases, event, ending);
    followGateways(rows.endpoints, event, ending);
    followRoutes(rows.endpoints, event, ending);
    followPorts(rows.endpoints, rows.ports, event, ending);
    countEndpoints(rows.networks, event, ending);
    quotas.apply(rows.quotas, event, ending);
  }
};

type Lost = EventOf<'HostLost'>;

/** Whoever waits for one of them is told that it has failed. */
const endCommands = (rows: Map<string, CommandRow>, event: Lost, { host, position, command }: At): void => {
  for (const [key, row] of rows) {
    if (row.host !== host || row.status !== 'accepted') continue;
    const ended = { ...row };
    commandStep(row, event)?.(ended, event, position);
    rows.set(key, ended);
  }
  // Whatever it stood on may be another row now.
  Object.assign(command, noCommand());
};

/**
 * A host that has stated another epoch by then was not lost: then this says nothing. Before any other view has folded the event in.
 * Complexity: the rows of all views that say what hosts have, of all hosts.
 */
export const loseHost = (rows: Rows, event: Lost, at: At): void => {
  const { host } = at;
  if (host === null || rows.hosts.get(host)?.epoch !== event.data.epoch) return;
  endCommands(rows.commands, event, at);
  endEndpoints(rows, (endpoint) => endpoint.host === host, event, at);
  for (const sandbox of rows.sandboxes.values()) {
    if (sandbox.host !== host) continue;
    rows.sandboxes.delete(sandbox.incarnation);
    const about = { networkAbout: undefined, sandboxAbout: { incarnation: sandbox.incarnation, before: sandbox } };
    const ending = { ...at, endpointBefore: undefined, sandboxBefore: sandbox, ...about };
    ports.apply(rows.ports, event, ending);
    leases.apply(rows.leases, event, ending);
    quotas.apply(rows.quotas, event, ending);
  }
  for (const network of rows.networks.values()) {
    if (network.host !== host) continue;
    rows.networks.delete(network.id);
    const about = { networkAbout: network, sandboxAbout: null };
    const ending = { ...at, networkBefore: network, endpointBefore: undefined, ...about };
    addresses.apply(rows.addresses, event, ending);
    leases.apply(rows.leases, event, ending);
    quotas.apply(rows.quotas, event, ending);
  }
  for (const [key, use] of rows.capacity) if (use.host === host) rows.capacity.delete(key);
  for (const [key, driver] of rows.drivers) if (driver.host === host) rows.drivers.delete(key);
  for (const [key, drift] of rows.drift) if (drift.host === host) rows.drift.delete(key);
};

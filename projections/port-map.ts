/**
 * What leads where: ports and default routes of a sandbox belong to whichever of its endpoints is the gateway of that family, so an event
 * of one endpoint may change the rows of another. Runs once the views that it reads have folded the event in.
 */

import type { Event } from '../events/envelope.ts';
import type { PortBinding, PublishedPort } from '../events/events.ts';
import { allLeases } from '../events/found-ports.ts';
import { type EndpointRow, familiesOf } from './endpoints.ts';
import { exposureOf, type Lead, lead, type PortRow } from './ports.ts';
import { type At, bareAddress } from './projection.ts';
import type { SandboxRow } from './sandboxes.ts';

type Endpoints = Map<string, EndpointRow>;
type Ports = Map<string, PortRow>;

/** The sandbox that an event of an endpoint is about: the one that it joins, else the one that it was in. */
const sandboxOf = (event: Event, at: At): SandboxRow | undefined =>
  at.sandboxes.get(
    event.type === 'EndpointJoinRequested'
      ? event.data.sandbox.incarnation
      : (at.endpointBefore?.sandboxIncarnation ?? ''),
  );

/** Endpoints of a sandbox, those on their way out at the end. */
const endpointsIn = (rows: Endpoints, sandbox: SandboxRow): readonly EndpointRow[] =>
  [...sandbox.members.map(({ endpointId }) => endpointId), ...sandbox.leaving].flatMap((id) => rows.get(id) ?? []);

/** Says of the other endpoints of a sandbox which of them carry its default routes after an event. */
export const followGateways = (rows: Endpoints, event: Event, at: At): void => {
  const sandbox = sandboxOf(event, at);
  for (const { endpointId } of sandbox?.members ?? []) {
    const row = rows.get(endpointId);
    const { ipv4, ipv6 } = sandbox?.gateways ?? {};
    const gateway = familiesOf(ipv4 === endpointId, ipv6 === endpointId);
    // By what they say: a row out of a snapshot shares no objects with others.
    if (!row || (row.gateway.ipv4 === gateway.ipv4 && row.gateway.ipv6 === gateway.ipv6)) continue;
    rows.set(endpointId, { ...row, gateway, changedPosition: at.position });
  }
};

const sameBinding = (one: PortBinding, other: PortBinding): boolean =>
  one.protocol === other.protocol &&
  one.hostAddress === other.hostAddress &&
  one.hostPort === other.hostPort &&
  one.address === other.address &&
  one.port === other.port &&
  one.count === other.count;

const addressOf = (row: EndpointRow | undefined, like: string): string | null => {
  const cidr = like.includes(':') ? row?.ipv6 : row?.ipv4;
  return cidr ? bareAddress(cidr) : null;
};

/** Gives each endpoint of a sandbox its part of what leads into it, and each lease its target. */
const setBindings = (
  endpoints: Endpoints,
  ports: Ports,
  sandbox: SandboxRow,
  bindings: readonly PortBinding[],
  at: { readonly time: string; readonly position: number },
): void => {
  const inside = endpointsIn(endpoints, sandbox);
  const targets = new Map<string, Lead>();
  for (const binding of bindings) {
    const endpoint = inside.find((row) => addressOf(row, binding.address) === binding.address);
    const place = `${binding.protocol}/${binding.hostAddress}/${binding.hostPort}`;
    if (endpoint) targets.set(place, { binding, endpoint, sandbox: sandbox.id });
  }
  for (const row of inside) {
    const portMap = [...targets.values()].flatMap(({ binding, endpoint }) => (endpoint.id === row.id ? binding : []));
    const isSame =
      portMap.length === row.portMap.length &&
      portMap.every((binding, index) => sameBinding(binding, row.portMap[index] as PortBinding));
    if (!isSame) endpoints.set(row.id, { ...row, portMap, changedPosition: at.position });
  }
  // Where nothing is translated a port is reached at the endpoint itself, by its own number, whatever host port is held for it.
  const direct = [...targets.values()].filter(({ binding }) => binding.hostAddress === binding.address);
  const leadOf = ({ protocol, hostPort, port, count }: PublishedPort, hostAddress: string): Lead | null =>
    targets.get(`${protocol}/${hostAddress}/${hostPort}`) ??
    direct.find(
      ({ binding: one }) =>
        exposureOf(hostAddress) === 'any' &&
        one.address.includes(':') === hostAddress.includes(':') &&
        one.protocol === protocol &&
        one.port === port &&
        one.count === count,
    ) ??
    null;
  lead(ports, sandbox.incarnation, sandbox.ports, leadOf, at);
  for (const row of inside) lead(ports, row.id, allLeases(row), leadOf, at);
};

/** Bindings of what is left in a sandbox: what led to the one that is out leads to the gateways now, and its own leases lead nowhere. */
const withoutOne = (out: EndpointRow, inside: readonly EndpointRow[], sandbox: SandboxRow): readonly PortBinding[] => {
  const own = new Set(
    allLeases(out).flatMap(({ protocol, hostAddresses, hostPort }) =>
      hostAddresses.map((address) => `${protocol}/${address}/${hostPort}`),
    ),
  );
  return [...inside, out]
    .flatMap(({ portMap }) => portMap)
    .flatMap((binding): PortBinding[] => {
      if (own.has(`${binding.protocol}/${binding.hostAddress}/${binding.hostPort}`)) return [];
      if (addressOf(out, binding.address) !== binding.address) return [binding];
      const gateway = binding.address.includes(':') ? sandbox.gateways.ipv6 : sandbox.gateways.ipv4;
      const address = addressOf(
        inside.find(({ id }) => id === gateway),
        binding.address,
      );
      return address === null ? [] : [{ ...binding, address }];
    });
};

/** An endpoint is out of its sandbox, on its way into another, or gone. */
const partFrom = (endpoints: Endpoints, ports: Ports, out: EndpointRow, event: Event, at: At): void => {
  if (out.sandboxIncarnation === null) return;
  const after = endpoints.get(out.id);
  if (after?.sandboxIncarnation === out.sandboxIncarnation) return;
  const sandbox = at.sandboxes.get(out.sandboxIncarnation);
  // With the sandbox everything ends that led into it; of an endpoint that nothing has led to nothing changes for the others.
  if (sandbox && allLeases(out).length + out.portMap.length === 0) return;
  const when = { time: event.meta.time, position: at.position };
  if (after) {
    endpoints.set(out.id, { ...after, portMap: [] });
    lead(ports, out.id, allLeases(after), () => null, when);
  }
  if (sandbox) {
    const inside = endpointsIn(endpoints, sandbox);
    setBindings(endpoints, ports, sandbox, withoutOne(out, inside, sandbox), when);
  } else if (at.sandboxBefore) setBindings(endpoints, ports, at.sandboxBefore, [], when);
};

/** Follows what leads into a sandbox through an event of one of its endpoints. */
export const followPorts = (endpoints: Endpoints, ports: Ports, event: Event, at: At): void => {
  const { endpointBefore: before, sandboxBefore } = at;
  if (event.type === 'SandboxRemoved' && sandboxBefore && !at.sandboxes.has(sandboxBefore.incarnation)) {
    setBindings(endpoints, ports, sandboxBefore, [], { time: event.meta.time, position: at.position });
  }
  if (!before) return;
  if (event.type === 'EndpointJoined' || event.type === 'EndpointUpdated') {
    const row = endpoints.get(before.id);
    // A report that came too late for its row says nothing about what is now.
    if (!row || row === before) return;
    const sandbox = at.sandboxes.get(row.sandboxIncarnation ?? '');
    const nothing = event.data.ports.length === 0 && row.ports.length + row.portMap.length === 0;
    if (!sandbox || (nothing && sandbox.ports.length === 0 && sandbox.members.length < 2)) return;
    setBindings(endpoints, ports, sandbox, event.data.ports, { time: event.meta.time, position: at.position });
    return;
  }
  partFrom(endpoints, ports, before, event, at);
};

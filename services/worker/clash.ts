/**
 * What was decided before anybody knew that the log is an older copy may want what the kernel holds beyond it: an address, a host port, a
 * subnet, a sandbox's name. Where that is kept it is not given twice (docs/adr/0029).
 */
import { type Fault, isConstructive, type PublishedPort } from '../../events/events.ts';
import type { Held } from '../../events/held.ts';
import { overlaps, parseCidr } from '../../events/ip.ts';
import { addressesMeet, portKeys } from '../../events/leases.ts';
import type { BoundaryState } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Unit } from './units.ts';

type Intent = Unit['intents'][number];

const portsClash = (ports: readonly PublishedPort[], held: Held): string | undefined =>
  ports
    .flatMap((port) => portKeys(port).map((key) => ({ key, addresses: port.hostAddresses })))
    .find(({ key, addresses }) =>
      held.ports.some(
        ({ protocol, hostAddress, hostPort }) =>
          key === `${protocol}/${hostPort}` && addressesMeet(addresses, [hostAddress]),
      ),
    )?.key;

const subnetsClash = (a: string, b: string): boolean => {
  const [one, other] = [parseCidr(a)?.cidr, parseCidr(b)?.cidr];
  return one !== undefined && other !== undefined && overlaps(one, other);
};

/** What an intent wants of what is held; undefined: nothing. */
const wantedOf = ({ type, data }: Intent, held: Held): string | undefined => {
  switch (type) {
    case 'NetworkCreateRequested':
      return data.network.subnets
        .map(({ subnet }) => subnet)
        .find((subnet) => held.subnets.some((other) => subnetsClash(subnet, other)));
    case 'EndpointCreateRequested': {
      const { id, networkId, ipv4, ipv6, mac, ports } = data.endpoint;
      if (held.id === id) return undefined;
      const isBeside = held.networkId !== null && held.networkId !== networkId;
      const address = isBeside
        ? undefined
        : [ipv4, ipv6].find((one) => one !== null && held.addresses.includes(bareAddress(one)));
      const sameMac = !isBeside && mac !== null && held.macs.includes(mac) ? mac : undefined;
      return (address ?? undefined) || sameMac || portsClash(ports, held);
    }
    case 'EndpointJoinRequested': {
      const { incarnation, key, ports } = data.sandbox;
      if (held.id === incarnation || held.id === data.endpointId) return undefined;
      return held.names.includes(key) ? key : portsClash(ports, held);
    }
    case 'EndpointUpdateRequested':
      return held.id === data.endpointId ? undefined : portsClash(data.settings.ports, held);
    default:
      return undefined;
  }
};

/** Why a unit cannot be executed, since what it was given is in use by something that the log does not know; null: it is not so. */
export const clashIn = (state: BoundaryState, { intents }: Unit): Fault | null => {
  const { held = [] } = state.regressed.get('log') ?? {};
  for (const one of held)
    for (const intent of intents) {
      const what = isConstructive(intent.type) ? wantedOf(intent, one) : undefined;
      if (what === undefined) continue;
      return {
        code: 'HOST_REGRESSED',
        step: 'check',
        errno: '',
        text: `${what} is held by ${one.entity} ${one.id}, which the log has lost and the host has kept`,
        retryable: false,
        undoFaults: [],
      };
    }
  return null;
};

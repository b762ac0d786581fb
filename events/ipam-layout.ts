/** How a subnet is divided: its ip-range, gateway and auxiliary addresses, checked against each other. */
import type { Subnet } from './events.ts';
import { containsCidr, formatCidr, parseCidr, parseSubnet } from './ip.ts';
import { addressPool, automaticRange, checkAddress, chooseAddress, holdAddress } from './ipam-addresses.ts';
import { type Choice, chosen } from './ipam-choice.ts';
import { type Refusal, refuse } from './refusals.ts';
import { Journal } from './table.ts';

export interface LayoutRequest {
  /** As `checkSubnet` or `chooseSubnet` answered. */
  readonly subnet: string;
  readonly range?: string | undefined;
  readonly gateway?: string | undefined;
  readonly aux?: Readonly<Record<string, string>> | undefined;
  /** False where the driver gives the network no gateway; one that was asked for is kept all the same. */
  readonly needsGateway: boolean;
}

/**
 * The facts of a subnet for the event that creates its network. The gateway, where none is given, is the first free address of
 * the range, as in Docker.
 */
export function layOutSubnet(request: LayoutRequest): Choice<Subnet> {
  const subnet = parseSubnet(request.subnet);
  const range = checkRange(request);
  if (!range.ok) return range;
  const bare = { subnet: request.subnet, range: range.value, gateway: null, aux: {} };
  // A pool for this question only: it has the rules for addresses already.
  const pool = addressPool(new Journal(), bare);
  if (subnet === null) return refuse('SUBNET_INVALID', `${request.subnet} is not a canonical subnet`);
  let gateway: string | null = null;
  if (request.gateway !== undefined) {
    const checked = checkAddress(pool, request.gateway);
    if (!checked.ok) return blame(checked, 'gateway', request.gateway);
    gateway = checked.value;
    holdAddress(pool, gateway, { kind: 'gateway', id: gateway });
  }
  const aux: [string, string][] = [];
  for (const [name, text] of Object.entries(request.aux ?? {})) {
    const checked = checkAddress(pool, text);
    if (!checked.ok) return blame(checked, 'aux', name);
    aux.push([name, checked.value]);
    holdAddress(pool, checked.value, { kind: 'aux', id: name });
  }
  if (gateway === null && request.needsGateway) {
    const first = chooseAddress(pool, { nowMs: 0, quarantineMs: 0 });
    if (!first.ok) return first;
    gateway = first.value.address;
  }
  return chosen({
    family: subnet.family,
    subnet: formatCidr(subnet),
    range: range.value,
    gateway,
    aux: Object.fromEntries(aux),
    vni: null,
    pool: null,
  });
}

function checkRange(request: LayoutRequest): Choice<string | null> {
  if (request.range === undefined) return chosen(null);
  const parsed = parseCidr(request.range);
  const subnet = parseSubnet(request.subnet);
  const no = (detail: string) => refuse('RANGE_INVALID', detail, [{ kind: 'subnet', id: request.subnet }]);
  if (parsed === null) return no(`${request.range} is not a range: write ADDRESS/PREFIX`);
  const range = formatCidr(parsed.cidr);
  if (parsed.hasHostBits) return no(`${request.range} is an address inside a range: write ${range}`);
  if (subnet === null || !containsCidr(subnet, parsed.cidr)) return no(`${range} is not inside ${request.subnet}`);
  const usable = automaticRange(subnet, parsed.cidr);
  if (usable.first > usable.last) return no(`${range} has no address that an endpoint may have`);
  return chosen(range);
}

/** Says which of the addresses it was. */
function blame(refusal: Refusal, kind: 'gateway' | 'aux', id: string): Refusal {
  return { ...refusal, detail: `${kind} ${id}: ${refusal.detail}`, culprits: [{ kind, id }, ...refusal.culprits] };
}

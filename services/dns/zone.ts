/**
 * What names the sandboxes of a host know: a fold of its endpoints' joins and leaves, kept ready for lookups (lookup.ts). It knows
 * endpoints that are in a sandbox, and nothing else.
 */
import type { EndpointFacts, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import { namesOf } from '../../projections/names.ts';
import { bareAddress } from '../../projections/projection.ts';

/** An endpoint in a sandbox, as the log's facts have it. */
export interface ZoneMember {
  readonly network: NetworkFacts;
  readonly endpoint: EndpointFacts;
  readonly sandbox: SandboxFacts;
}

/** An endpoint of one of our networks on another host. */
export interface ZonePeer {
  readonly endpointId: string;
  readonly network: Pick<NetworkFacts, 'id' | 'name'>;
  /** Its own name first, in lower case. */
  readonly names: readonly string[];
  readonly services: EndpointFacts['services'];
  /** Without prefix lengths. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

/** Nobody is to be found in a network that is only a way out. */
const isNameless = ({ member }: ZoneEntry): boolean => member?.network.outlet === true;

/** An endpoint as lookups see it. Names are in lower case. */
export interface ZoneEntry {
  /** Null for one on another host: no sandbox of ours asks through it. */
  readonly member: ZoneMember | null;
  readonly network: Pick<NetworkFacts, 'id' | 'name'>;
  readonly services: EndpointFacts['services'];
  /** Its own name first, then its aliases and its sandbox's hostname. */
  readonly names: readonly string[];
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** Alias to name, for its own sandbox. */
  readonly links: ReadonlyMap<string, string>;
}

export interface ZoneNetwork {
  /** In lower case. */
  readonly name: string;
  readonly names: ReadonlyMap<string, ReadonlySet<ZoneEntry>>;
  /** By canonical address. */
  readonly addresses: ReadonlyMap<string, ZoneEntry>;
}

/** An entry with a sandbox of ours. */
type LocalEntry = ZoneEntry & { readonly member: ZoneMember };

/** An endpoint of the sandbox that asks, and the names of its network. */
export interface Sight {
  readonly entry: LocalEntry;
  readonly network: ZoneNetwork;
}

/** What one sandbox sees. */
export interface ZoneSandbox {
  /** Its endpoints in the order in which gateways are elected: highest priority first, of equal ones the first joined. */
  readonly sights: readonly Sight[];
  /** False where all of its networks are internal, or lead nowhere: what it asks stays here. */
  readonly forwards: boolean;
  /** Servers that its user or its networks name; null: the host's. */
  readonly servers: readonly string[] | null;
}

interface Network {
  readonly id: string;
  readonly name: string;
  readonly names: Map<string, Set<ZoneEntry>>;
  readonly addresses: Map<string, ZoneEntry>;
  /** How many entries are listed, nameless ones included: while there is one, views refer to this. */
  listed: number;
}

const entryOf = (member: ZoneMember): LocalEntry => {
  const { network, endpoint, sandbox } = member;
  const links = Object.entries(endpoint.links).map(
    ([alias, name]) => [alias.toLowerCase(), name.toLowerCase()] as const,
  );
  return {
    member,
    network,
    services: endpoint.services,
    names: namesOf(endpoint, sandbox),
    ipv4: endpoint.ipv4 === null ? null : bareAddress(endpoint.ipv4),
    ipv6: endpoint.ipv6 === null ? null : bareAddress(endpoint.ipv6),
    links: new Map(links),
  };
};

const peerEntryOf = ({ network, names, services, ipv4, ipv6 }: ZonePeer): ZoneEntry => ({
  member: null,
  network,
  services,
  names,
  ipv4,
  ipv6,
  links: new Map(),
});

const isLocal = (entry: ZoneEntry): entry is LocalEntry => entry.member !== null;

/** Traffic can leave by this network, so questions may. */
const leadsOut = ({ internal, driver }: NetworkFacts): boolean => !internal && driver !== 'null';

const serversOf = (entries: readonly LocalEntry[]): readonly string[] | null => {
  const own = entries[0]?.member.sandbox.dns.servers ?? null;
  if (own !== null) return own;
  const ofNetworks = entries.flatMap(({ member }) => member.network.dns.servers ?? []);
  return ofNetworks.length > 0 ? [...new Set(ofNetworks)] : null;
};

export class Zone {
  readonly #entries = new Map<string, ZoneEntry>();
  readonly #networks = new Map<string, Network>();
  /** By incarnation: the ids of its endpoints in the order in which they joined, and what is made of them once it is asked for. */
  readonly #sandboxes = new Map<string, { readonly ids: Set<string>; view: ZoneSandbox | null }>();
  #position = 0;

  /** Position in the log that it is at, or beyond. */
  get position(): number {
    return this.#position;
  }

  get endpoints(): number {
    return this.#entries.size;
  }

  /** Networks in which there is anybody. */
  get networks(): number {
    return this.#networks.size;
  }

  reached(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  joined(member: ZoneMember): void {
    const { endpoint, sandbox } = member;
    const before = this.#entries.get(endpoint.id);
    if (before?.member && before.member.sandbox.incarnation !== sandbox.incarnation) this.left(endpoint.id);
    else if (before) this.#unlist(before);
    const entry = entryOf(member);
    this.#entries.set(endpoint.id, entry);
    this.#list(entry);
    const known = this.#sandboxes.get(sandbox.incarnation);
    if (known) {
      known.ids.add(endpoint.id);
      known.view = null;
    } else this.#sandboxes.set(sandbox.incarnation, { ids: new Set([endpoint.id]), view: null });
  }

  /** An endpoint on another host is in a sandbox there. Told again, it changes to what is told. */
  met(peer: ZonePeer): void {
    this.left(peer.endpointId);
    const entry = peerEntryOf(peer);
    this.#entries.set(peer.endpointId, entry);
    this.#list(entry);
  }

  /** Of this host or another. */
  left(endpointId: string): void {
    const entry = this.#entries.get(endpointId);
    if (!entry) return;
    this.#entries.delete(endpointId);
    this.#unlist(entry);
    if (!isLocal(entry)) return;
    const { incarnation } = entry.member.sandbox;
    const sandbox = this.#sandboxes.get(incarnation);
    if (!sandbox) return;
    sandbox.ids.delete(endpointId);
    sandbox.view = null;
    if (sandbox.ids.size === 0) this.#sandboxes.delete(incarnation);
  }

  endpointChanged(endpoint: EndpointFacts): void {
    const member = this.#entries.get(endpoint.id)?.member;
    if (member) this.joined({ ...member, endpoint });
  }

  networkChanged(network: NetworkFacts): void {
    for (const { member } of [...this.#entries.values()])
      if (member?.network.id === network.id) this.joined({ ...member, network });
  }

  /** Endpoints on other hosts stay as they were told. */
  reset(members: Iterable<ZoneMember>): void {
    const peers = [...this.#entries].filter(([, entry]) => !isLocal(entry));
    this.#entries.clear();
    this.#networks.clear();
    this.#sandboxes.clear();
    for (const [id, entry] of peers) {
      this.#entries.set(id, entry);
      this.#list(entry);
    }
    for (const member of members) this.joined(member);
  }

  /** What a sandbox sees; undefined where no endpoint is in it. */
  of(incarnation: string): ZoneSandbox | undefined {
    const sandbox = this.#sandboxes.get(incarnation);
    if (!sandbox) return undefined;
    sandbox.view ??= this.#look(sandbox.ids);
    return sandbox.view;
  }

  #look(ids: ReadonlySet<string>): ZoneSandbox {
    const joined = [...ids].flatMap((id) => this.#entries.get(id) ?? []).filter(isLocal);
    // Sorting is stable, so of equal priorities the first joined stays first.
    const entries = joined.sort((a, b) => b.member.endpoint.gatewayPriority - a.member.endpoint.gatewayPriority);
    return {
      sights: entries.flatMap((entry): readonly Sight[] => {
        const network = isNameless(entry) ? undefined : this.#networks.get(entry.network.id);
        return network ? [{ entry, network }] : [];
      }),
      forwards: entries.some(({ member }) => leadsOut(member.network)),
      servers: serversOf(entries),
    };
  }

  #list(entry: ZoneEntry): void {
    if (isNameless(entry)) return;
    const { id, name } = entry.network;
    const network = this.#networks.get(id) ?? {
      id,
      name: name.toLowerCase(),
      names: new Map<string, Set<ZoneEntry>>(),
      addresses: new Map<string, ZoneEntry>(),
      listed: 0,
    };
    network.listed++;
    this.#networks.set(id, network);
    // An endpoint without an address, as in the host's own namespace, has no name to be found by.
    const addresses = [entry.ipv4, entry.ipv6].filter((address) => address !== null);
    for (const address of addresses) network.addresses.set(address, entry);
    for (const name of addresses.length > 0 ? entry.names : []) {
      const bearers = network.names.get(name);
      if (bearers) bearers.add(entry);
      else network.names.set(name, new Set([entry]));
    }
  }

  #unlist(entry: ZoneEntry): void {
    if (isNameless(entry)) return;
    const network = this.#networks.get(entry.network.id);
    if (!network) return;
    for (const address of [entry.ipv4, entry.ipv6])
      if (address !== null && network.addresses.get(address) === entry) network.addresses.delete(address);
    for (const name of entry.names) {
      const bearers = network.names.get(name);
      bearers?.delete(entry);
      if (bearers?.size === 0) network.names.delete(name);
    }
    network.listed--;
    if (network.listed === 0) this.#networks.delete(network.id);
  }
}

export const createZone = (): Zone => new Zone();

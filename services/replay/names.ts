/** The names of a moment, answered in the sandboxes of its replay as the worker answered them; of others nobody is asked. */
import type { Kernel, Operation } from '../../drivers/port.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import type { PeerView } from '../../projections/peers.ts';
import { bareAddress } from '../../projections/projection.ts';
import { createDns, type Dns } from '../dns/dns.ts';
import { membersOf } from '../dns/members.ts';
import type { HostServers } from '../dns/upstreams.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';

export interface NamesOptions {
  readonly kernel: Pick<Kernel, 'openResolver'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly host: string;
  /** Where a path of the host is here. */
  readonly pathOf: (path: string) => string;
}

const noServers: HostServers = {
  servers: () => [],
  config: () => ({ servers: [], search: [], options: [] }),
  close: () => undefined,
};

const bare = (cidr: string | null): string | null => (cidr === null ? null : bareAddress(cidr));

export class Names {
  readonly #options: NamesOptions;
  readonly #dns: Dns;

  constructor(options: NamesOptions) {
    this.#options = options;
    const { kernel, clock, logger } = options;
    this.#dns = createDns({ kernel, clock, logger, upstreams: noServers });
  }

  /** Lets go of namespaces that are about to be removed: open sockets would keep them. */
  async release(operations: readonly Operation[]): Promise<void> {
    const gone = operations.filter(({ op, object }) => op === 'delete' && object.kind === 'netns');
    await Promise.all(gone.map(({ object }) => this.#dns.release(object.tag.id)));
  }

  /**
   * Answers what the state says, in the sandboxes that are there with a resolver.
   * @param served their incarnations
   */
  async show(state: BoundaryState, peers: PeerView, served: ReadonlySet<string>): Promise<void> {
    this.#dns.reset(membersOf(state));
    for (const network of [...state.networks.values(), ...state.shared.networks.values()]) {
      for (const row of peers.of(network.facts.id).values()) {
        if (row.host === this.#options.host) continue;
        const { endpointId, names, services, ipv4, ipv6 } = row;
        const facts = networkOf(state, row.networkId)?.facts ?? network.facts;
        this.#dns.met({ endpointId, network: facts, names, services, ipv4: bare(ipv4), ipv6: bare(ipv6) });
      }
    }
    const there = [...state.sandboxes.values()].filter(({ facts }) => served.has(facts.incarnation));
    // One that cannot be opened was reported with its resolver, or answers nobody: the moment is shown all the same.
    await Promise.all(there.map(({ facts }) => this.#dns.open({ ...facts, key: this.#options.pathOf(facts.key) })));
  }

  close(): Promise<void> {
    return this.#dns.close();
  }
}

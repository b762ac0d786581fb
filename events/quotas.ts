/** How much each actor has, counted by whoever created it, whatever host it is on. */
import type { EndpointFacts, NetworkFacts, PublishedPort, SandboxFacts } from './facts.ts';
import { type Journal, Table } from './table.ts';

/** What quotas count. */
export interface Use {
  readonly networks: number;
  readonly endpoints: number;
  readonly addresses: number;
  readonly ports: number;
}

export const countedLimits = ['networks', 'endpoints', 'addresses', 'ports'] as const;

export const noUse: Use = { networks: 0, endpoints: 0, addresses: 0, ports: 0 };

export const portsOf = (ports: readonly Pick<PublishedPort, 'count'>[]): number =>
  ports.reduce((sum, { count }) => sum + count, 0);

/** What we make ourselves for a way out is on nobody's account. */
export const networkUse = ({ outlet }: Pick<NetworkFacts, 'outlet'>): Use => ({ ...noUse, networks: outlet ? 0 : 1 });

export const endpointUse = ({
  ipv4,
  ipv6,
  ports,
  origin,
}: Pick<EndpointFacts, 'ipv4' | 'ipv6' | 'ports' | 'origin'>): Use =>
  origin === 'outlet'
    ? noUse
    : { networks: 0, endpoints: 1, addresses: Number(ipv4 !== null) + Number(ipv6 !== null), ports: portsOf(ports) };

export const sandboxUse = ({ ports }: Pick<SandboxFacts, 'ports'>): Use => ({ ...noUse, ports: portsOf(ports) });

/** @param sign 1 to add, -1 to take away */
export const plus = (use: Use, more: Use, sign: 1 | -1 = 1): Use => ({
  networks: use.networks + sign * more.networks,
  endpoints: use.endpoints + sign * more.endpoints,
  addresses: use.addresses + sign * more.addresses,
  ports: use.ports + sign * more.ports,
});

export const isNothing = (use: Use): boolean => countedLimits.every((limit) => use[limit] === 0);

/** Adds to what an actor has; who has nothing has no row. */
const addUse = (uses: Table<string, Use>, actor: string, more: Use, sign: 1 | -1): void => {
  if (isNothing(more)) return;
  const use = plus(uses.get(actor) ?? noUse, more, sign);
  if (isNothing(use)) uses.delete(actor);
  else uses.set(actor, use);
};

/** A table whose rows are on somebody's account: what each actor has follows from the rows, however they change. */
export class CountedTable<Row extends { readonly actor: string }> extends Table<string, Row> {
  readonly #uses: Table<string, Use>;
  readonly #useOf: (row: Row) => Use;

  constructor(journal: Journal, uses: Table<string, Use>, useOf: (row: Row) => Use) {
    super(journal);
    this.#uses = uses;
    this.#useOf = useOf;
  }

  override set(key: string, row: Row): void {
    const before = this.get(key);
    super.set(key, row);
    const use = this.#useOf(row);
    if (before === undefined) addUse(this.#uses, row.actor, use, 1);
    else {
      const change = plus(use, this.#useOf(before), -1);
      if (before.actor === row.actor) addUse(this.#uses, row.actor, change, 1);
      else {
        addUse(this.#uses, before.actor, this.#useOf(before), -1);
        addUse(this.#uses, row.actor, use, 1);
      }
    }
  }

  override delete(key: string): void {
    const before = this.get(key);
    if (before !== undefined) addUse(this.#uses, before.actor, this.#useOf(before), -1);
    super.delete(key);
  }
}

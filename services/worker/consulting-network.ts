/** What plugins are asked before a network is made: pools and addresses of its own, then CreateNetwork. In Docker's order. */
import type { EventOf } from '../../events/envelope.ts';
import type { Fault, NetworkFacts, Subnet } from '../../events/events.ts';
import { networkOf } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Called } from '../plugins/fault.ts';
import { lentAddress, lentPool } from '../plugins/ipam-messages.ts';
import type { IpamPlugin } from '../plugins/plugins.ts';
import { createNetworkOf, networkOptionsOf } from './consulting-requests.ts';
import { type Desk, faultOfSettled, mayBeDone, type Run } from './consulting-steps.ts';
import { isForeign, networkParting, poolPartings } from './gone.ts';
import { once, type Parting } from './parting.ts';
import type { AnswerOf } from './settling.ts';

const families = [4, 6] as const;
type Family = (typeof families)[number];
type Asked = AnswerOf<'network'>['subnets'][number];

/** Pools of the plugin's choice that overlap others of ours: how many are tried. */
const poolsMax = 8;
const overlaps = 'SUBNET_OVERLAPS';

/** A pool with the addresses of its own; `partings` are to be told from the end. */
interface Pool {
  readonly asked: Asked;
  readonly partings: Parting[];
}

/** Where the pools of a network come from. */
interface Source {
  readonly ipam: IpamPlugin;
  readonly network: NetworkFacts;
  readonly space: string;
  /** Families in which no gateway is wanted unless one was asked for. */
  readonly skips: ReadonlySet<Family>;
  readonly run: Run;
}

const requestPool = async (source: Source, family: Family, partings: Parting[]): Promise<Called<Asked>> => {
  const { ipam, network, space, skips, run } = source;
  const given: Subnet | undefined = network.subnets.find((subnet) => subnet.family === family);
  // Docker asks for the spaces once more with each pool.
  const spaces = await ipam.defaultAddressSpaces(run.options);
  if (!spaces.ok) return spaces;
  const got = await ipam.requestPool(
    {
      space,
      pool: given?.subnet ?? null,
      range: given?.range ?? null,
      options: network.ipam.options,
      ipv6: family === 6,
    },
    run.options,
  );
  const plugin = ipam.name;
  if (!got.ok) {
    const id = lentPool(got);
    if (id !== null) partings.push({ kind: 'pool', plugin, pool: id });
    return got;
  }
  const { pool } = got.value;
  partings.push({ kind: 'pool', plugin, pool: pool.id });
  const requestAddress = async (purpose: 'gateway' | 'aux', address: string | null): Promise<Called<string>> => {
    const answer = await ipam.requestAddress({ pool, address, purpose, mac: null }, run.options);
    const lent = answer.ok ? bareAddress(answer.value.address) : lentAddress(answer);
    if (lent !== null) partings.push({ kind: 'address', plugin, pool: pool.id, address: lent });
    return answer.ok ? { ok: true, value: bareAddress(answer.value.address) } : answer;
  };
  let gateway: string | null = null;
  if (got.value.gateway !== null && (given?.gateway ?? null) === null) {
    gateway = bareAddress(got.value.gateway);
    partings.push({ kind: 'address', plugin, pool: pool.id, address: gateway });
  } else if (!skips.has(family) || (given?.gateway ?? null) !== null) {
    const answer = await requestAddress('gateway', given?.gateway ?? null);
    if (!answer.ok) return answer;
    gateway = answer.value;
  }
  const aux = given?.aux ?? {};
  for (const address of Object.values(aux)) {
    const answer = await requestAddress('aux', address);
    if (!answer.ok) return answer;
  }
  const range = given?.range ?? null;
  return { ok: true, value: { family, subnet: pool.subnet, range, gateway, aux: { ...aux }, pool: pool.id } };
};

const spaceOf = async (
  { plugins }: Desk,
  run: Run,
  network: NetworkFacts,
  isGlobal: boolean,
): Promise<Called<string>> => {
  if (!isForeign(network)) return { ok: true, value: isGlobal ? 'GlobalDefault' : 'LocalDefault' };
  const spaces = await plugins.ipam(network.ipam.driver).defaultAddressSpaces(run.options);
  return spaces.ok ? { ok: true, value: isGlobal ? spaces.value.global : spaces.value.local } : spaces;
};

/** Pools of all families, settled. One that overlaps what is taken is held, so that it is not given again, and another asked for. */
const settlePools = async (
  desk: Desk,
  source: Source,
  intent: EventOf<'NetworkCreateRequested'>,
): Promise<Fault | null> => {
  const { network, run, ipam } = source;
  const wanted = families.filter((family) => network[`ipv${family}`]);
  const isChosen = (family: Family): boolean => !network.subnets.some((subnet) => subnet.family === family);
  const pools = new Map<Family, Pool>();
  const held: Parting[] = [];
  const leave = (fault: Fault | null): Fault | null => {
    run.undo.push(...held, ...[...pools.values()].flatMap(({ partings }) => partings));
    return fault;
  };
  // It may have given what another network has, and has still.
  const release = (partings: readonly Parting[]): Promise<void> =>
    desk.partings.tell(
      once(partings).filter((parting) => !desk.isHeld(parting)),
      run.options,
    );
  for (let tries = 1; ; tries++) {
    for (const family of wanted) {
      if (pools.has(family)) continue;
      const partings: Parting[] = [];
      const got = await requestPool(source, family, partings);
      if (!got.ok) {
        run.undo.push(...partings);
        return leave(got.fault);
      }
      pools.set(family, { asked: got.value, partings });
    }
    const subnets = [...pools.values()].map(({ asked }) => asked);
    const settled = await desk.settling.settle(intent, { kind: 'network', subnets }, run.options.signal);
    const mayTryAgain = tries < poolsMax && wanted.some(isChosen) && settled?.ok === false && settled.code === overlaps;
    if (!mayTryAgain) {
      if (!settled?.ok) return leave(faultOfSettled(settled, ipam.name));
      await release(held.splice(0));
      return leave(null);
    }
    for (const family of wanted.filter(isChosen)) {
      const [pool, ...addresses] = pools.get(family)?.partings ?? [];
      pools.delete(family);
      if (pool) held.push(pool);
      await release(addresses);
    }
  }
};

/** What our own address management has chosen, without the gateways that the plugin does not want. */
const settleWithout = async (
  desk: Desk,
  run: Run,
  intent: EventOf<'NetworkCreateRequested'>,
  { subnets, driver }: NetworkFacts,
  skips: ReadonlySet<Family>,
): Promise<Fault | null> => {
  if (!subnets.some(({ family, gateway }) => skips.has(family) && gateway !== null)) return null;
  const asked = subnets.map(({ family, subnet, range, gateway, aux }) => ({
    family,
    subnet,
    range,
    gateway: skips.has(family) ? null : gateway,
    aux,
    pool: null,
  }));
  const settled = await desk.settling.settle(intent, { kind: 'network', subnets: asked }, run.options.signal);
  return faultOfSettled(settled, driver);
};

export const prepareNetwork = async (
  desk: Desk,
  run: Run,
  intent: EventOf<'NetworkCreateRequested'>,
): Promise<Fault | null> => {
  const { state, plugins, settling, partings, realm } = desk;
  const network = networkOf(state, intent.data.network.id)?.facts;
  if (!network) return null;
  const isPlugins = desk.isPlugin(network.driver);
  const settled = settling.isSettled(intent.meta.id, 'network');
  if (settled) run.undo.push(...poolPartings(network).toReversed());
  const missed = run.isInherited && isPlugins ? await partings.tellNow(networkParting(network), run.options) : null;
  if (missed) return missed;
  const skips = new Set<Family>();
  let isGlobal = false;
  if (isPlugins) {
    const plugin = plugins.network(network.driver);
    const capabilities = await plugin.capabilities(run.options);
    if (!capabilities.ok) return capabilities.fault;
    isGlobal = capabilities.value.scope === 'global';
    if (capabilities.value.gwAllocChecker) {
      const checked = await plugin.gwAllocCheck(networkOptionsOf(network), run.options);
      if (!checked.ok) return checked.fault;
      if (checked.value.skipIpv4) skips.add(4);
      if (checked.value.skipIpv6) skips.add(6);
      for (const family of network.ipam.gateways ?? []) skips.delete(family);
    }
  }
  const untold = isForeign(network) ? await desk.replayed(network.ipam.driver, run.options) : null;
  if (untold) return untold;
  const space = await spaceOf(desk, run, network, isGlobal);
  if (!space.ok) return space.fault;
  if (!settled && isForeign(network)) {
    const ipam = plugins.ipam(network.ipam.driver);
    const fault = await settlePools(desk, { ipam, network, space: space.value, skips, run }, intent);
    if (fault) return fault;
  } else if (!settled && network.ipam.driver === 'default') {
    const fault = await settleWithout(desk, run, intent, network, skips);
    if (fault) return fault;
  }
  if (!isPlugins || run.options.signal.aborted) return null;
  const facts = networkOf(state, network.id)?.facts ?? network;
  const request = createNetworkOf(realm, facts, space.value);
  const created = await plugins.network(network.driver).createNetwork(request, run.options);
  if (mayBeDone(created)) run.undo.push(networkParting(network));
  return created.ok ? null : created.fault;
};

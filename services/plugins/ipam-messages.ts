/** Requests and answers of the interface IpamDriver. */
import { formatIp, parseCidr, parseIp } from '../../events/ip.ts';
import { familyOf, liesIn, readAddress, readSubnet } from './checks.ts';
import type { Failed } from './fault.ts';
import { type GoValue, goFlag, goMap, goStruct, goText, goTexts } from './go-json.ts';

type Body = { readonly [field: string]: GoValue };

export interface RequestPool {
  readonly space: string;
  /** Null: the plugin chooses. */
  readonly pool: string | null;
  /** Addresses are to come out of this part of it. */
  readonly range: string | null;
  readonly options: Readonly<Record<string, string>>;
  readonly ipv6: boolean;
}

/** A pool that was given: its id means something to the plugin alone. */
export interface PoolRef {
  readonly id: string;
  /** Canonical; `0.0.0.0/0` and `::/0` where the plugin knows of no subnet. */
  readonly subnet: string;
}

export interface RequestAddress {
  readonly pool: PoolRef;
  /** Without prefix length; null: any. */
  readonly address: string | null;
  readonly purpose: 'gateway' | 'aux' | 'endpoint';
  /** Of the endpoint, for plugins that have said RequiresMACAddress. */
  readonly mac: string | null;
}

const GATEWAY = 'com.docker.network.gateway';

const addressOptions = ({ purpose, mac }: RequestAddress): GoValue => {
  if (purpose === 'gateway') return goMap({ RequestAddressType: GATEWAY });
  return mac === null ? null : goMap({ 'com.docker.network.endpoint.macaddress': mac });
};

export const ipamBodies = {
  requestPool: ({ space, pool, range, options, ipv6 }: RequestPool): Body => ({
    AddressSpace: space,
    Pool: pool ?? '',
    SubPool: range ?? '',
    Options: goMap(options),
    V6: ipv6,
  }),
  releasePool: (poolId: string): Body => ({ PoolID: poolId }),
  requestAddress: (request: RequestAddress): Body => ({
    PoolID: request.pool.id,
    Address: request.address ?? '',
    Options: addressOptions(request),
  }),
  releaseAddress: (poolId: string, address: string): Body => ({ PoolID: poolId, Address: address }),
};

export interface IpamCapabilities {
  readonly requiresMac: boolean;
  readonly requiresReplay: boolean;
}
/** Of a plugin that answers GetCapabilities with an error, which Docker forgives. */
export const noIpamCapabilities: IpamCapabilities = { requiresMac: false, requiresReplay: false };

export const IpamCapabilities = goStruct({ RequiresMACAddress: goFlag, RequiresRequestReplay: goFlag }).transform(
  ({ RequiresMACAddress, RequiresRequestReplay }): IpamCapabilities => ({
    requiresMac: RequiresMACAddress,
    requiresReplay: RequiresRequestReplay,
  }),
);

export interface AddressSpaces {
  readonly local: string;
  readonly global: string;
}
export const AddressSpaces = goStruct({
  LocalDefaultAddressSpace: goText,
  GlobalDefaultAddressSpace: goText,
}).transform(
  ({ LocalDefaultAddressSpace, GlobalDefaultAddressSpace }): AddressSpaces => ({
    local: LocalDefaultAddressSpace,
    global: GlobalDefaultAddressSpace,
  }),
);

export interface GivenPool {
  readonly pool: PoolRef;
  /** The plugin has named the gateway along with the pool, so that none is asked for; with prefix length. */
  readonly gateway: string | null;
  readonly data: Readonly<Record<string, string>>;
}

const isUnspecified = (subnet: string): boolean => /^(0\.0\.0\.0|::)\//.test(subnet);

/** What is wrong with a pool, as an answer to the request; null: nothing. */
const poolProblem = (request: RequestPool, subnet: string): string | null => {
  if (familyOf(subnet) !== (request.ipv6 ? 6 : 4)) return `${subnet} is not of the family that was asked for`;
  // 0.0.0.0/N asks for a size only.
  if (request.pool === null || isUnspecified(request.pool) || subnet === request.pool) return null;
  return `${request.pool} was asked for, and ${subnet} given`;
};

export const poolAnswer = (request: RequestPool) =>
  goStruct({ PoolID: goText, Pool: goText, Data: goTexts }).transform(({ PoolID, Pool, Data }, context): GivenPool => {
    const complain = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', message, path: [path] });
    if (PoolID === '') complain('PoolID', 'empty');
    const subnet = readSubnet(Pool);
    const problem = subnet === null ? `${JSON.stringify(Pool)} is not a subnet` : poolProblem(request, subnet);
    if (problem !== null) complain('Pool', problem);
    const named = Data[GATEWAY] ?? '';
    const gateway = named === '' ? null : readAddress(named);
    if (named !== '' && (gateway === null || (subnet !== null && !liesIn(gateway, subnet))))
      complain('Data', `${GATEWAY} ${JSON.stringify(named)} is not an address in ${Pool} with its prefix length`);
    return { pool: { id: PoolID, subnet: subnet ?? '' }, gateway, data: Data };
  });

/** What is wrong with an address, as an answer to the request; null: nothing. */
const addressProblem = ({ pool, address }: RequestAddress, given: string): string | null => {
  if (!isUnspecified(pool.subnet)) {
    if (!liesIn(given, pool.subnet)) return `${given} is not in the pool ${pool.subnet}`;
    if (parseCidr(given)?.cidr.prefix !== parseCidr(pool.subnet)?.cidr.prefix)
      return `${given} has not the prefix length of the pool ${pool.subnet}`;
  }
  if (address === null || given.startsWith(`${address}/`)) return null;
  return `${address} was asked for, and ${given} given`;
};

export interface GivenAddress {
  /** With prefix length. */
  readonly address: string;
  readonly data: Readonly<Record<string, string>>;
}

export const addressAnswer = (request: RequestAddress) =>
  goStruct({ Address: goText, Data: goTexts }).transform(({ Address, Data }, context): GivenAddress => {
    const address = readAddress(Address);
    const problem =
      address === null
        ? `${JSON.stringify(Address)} is not an address with its prefix length`
        : addressProblem(request, address);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem, path: ['Address'] });
    return { address: address ?? '', data: Data };
  });

/** The id of a pool that was given and cannot be used; null: none was. */
export const lentPool = ({ said }: Failed): string | null => {
  const read = goStruct({ PoolID: goText }).safeParse(said);
  return (read.success && read.data.PoolID) || null;
};

/** An address, without prefix length, that was given and cannot be used; null: none was. */
export const lentAddress = ({ said }: Failed): string | null => {
  const read = goStruct({ Address: goText }).safeParse(said);
  if (!read.success) return null;
  const ip = parseCidr(read.data.Address)?.address ?? parseIp(read.data.Address);
  return ip ? formatIp(ip.family, ip.value) : null;
};

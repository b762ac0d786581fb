/** Requests and answers of the interface NetworkDriver. Ids in them are those of `pluginId`. */
import { z } from 'zod';
import { Gateway4, Gateway6, Ipv4Address, Ipv6Address, LinkName, LinkPrefix, MacText, Routes } from './checks.ts';
import { type GoValue, goFlag, goMap, goStruct } from './go-json.ts';
import {
  type EndpointOptions,
  endpointOptions,
  externalOptions,
  type NetworkOptions,
  networkOptions,
  type Ports,
  sandboxOptions,
} from './options.ts';

type Body = { readonly [field: string]: GoValue };

/** A subnet of a network. `gateway` and `aux` carry the prefix length, as Docker sends them. */
export interface AddressData {
  /** `LocalDefault`, for plugins of scope global `GlobalDefault`, `null` without IPAM, or what an IPAM plugin has named. */
  readonly space: string;
  readonly pool: string;
  readonly gateway: string | null;
  readonly aux: Readonly<Record<string, string>>;
}

export interface CreateNetwork {
  readonly networkId: string;
  readonly options: NetworkOptions;
  readonly ipv4: readonly AddressData[];
  readonly ipv6: readonly AddressData[];
}

export interface EndpointRef {
  readonly networkId: string;
  readonly endpointId: string;
}

/** What an endpoint has of its interface; null is what the plugin may choose. */
export interface PluginInterface {
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly mac: string | null;
}

export interface CreateEndpoint extends EndpointRef {
  readonly interface: PluginInterface;
  readonly options: EndpointOptions;
}

export interface Join extends EndpointRef {
  /** Path of the network namespace. */
  readonly sandboxKey: string;
  readonly ports: Ports;
}

export interface ProgramExternal extends EndpointRef {
  readonly ports: Ports;
  /** Another endpoint of the sandbox carries IPv6. */
  readonly no6to4: boolean;
}

/** A host of the cluster. */
export interface Discovery {
  readonly address: string;
  readonly bindAddress: string;
  readonly isSelf: boolean;
}

const addressData = ({ space, pool, gateway, aux }: AddressData): GoValue =>
  goMap({
    AddressSpace: space,
    Pool: pool,
    ...(gateway === null ? {} : { Gateway: gateway }),
    ...(Object.keys(aux).length === 0 ? {} : { AuxAddresses: goMap(aux) }),
  });

const endpointRef = ({ networkId, endpointId }: EndpointRef): Body => ({
  NetworkID: networkId,
  EndpointID: endpointId,
});

/** Only nodes are spoken of: keys of encryption are nobody else's. */
const NODE = 1;

/** The bodies, fields in Docker's order. */
export const networkBodies = {
  gwAllocCheck: (options: NetworkOptions): Body => ({ Options: networkOptions(options) }),
  createNetwork: ({ networkId, options, ipv4, ipv6 }: CreateNetwork): Body => ({
    NetworkID: networkId,
    Options: networkOptions(options),
    IPv4Data: ipv4.map(addressData),
    IPv6Data: ipv6.map(addressData),
  }),
  network: (networkId: string): Body => ({ NetworkID: networkId }),
  createEndpoint: (request: CreateEndpoint): Body => ({
    ...endpointRef(request),
    Interface: {
      Address: request.interface.ipv4 ?? '',
      AddressIPv6: request.interface.ipv6 ?? '',
      MacAddress: request.interface.mac ?? '',
    },
    Options: endpointOptions(request.options),
  }),
  endpoint: endpointRef,
  join: (request: Join): Body => ({
    ...endpointRef(request),
    SandboxKey: request.sandboxKey,
    Options: sandboxOptions(request.ports),
  }),
  programExternal: (request: ProgramExternal): Body => ({
    ...endpointRef(request),
    Options: externalOptions(request.ports, request.no6to4),
  }),
  discover: ({ address, bindAddress, isSelf }: Discovery): Body => ({
    DiscoveryType: NODE,
    DiscoveryData: { Address: address, BindAddress: bindAddress, Self: isSelf },
  }),
};

const scopes = ['local', 'global'] as const;

/** Empty: nothing but an error can be said. */
export const Nothing = goStruct({}).transform(() => null);

export const NetworkCapabilities = goStruct({
  Scope: z.enum(scopes, 'neither local nor global'),
  ConnectivityScope: z.enum(['', ...scopes], 'neither local nor global').default(''),
  GwAllocChecker: goFlag,
}).transform(({ Scope, ConnectivityScope, GwAllocChecker }) => ({
  scope: Scope,
  connectivityScope: ConnectivityScope === '' ? Scope : ConnectivityScope,
  gwAllocChecker: GwAllocChecker,
}));
export type NetworkCapabilities = z.infer<typeof NetworkCapabilities>;

export const GwAllocAnswer = goStruct({ SkipIPv4: goFlag, SkipIPv6: goFlag }).transform(({ SkipIPv4, SkipIPv6 }) => ({
  skipIpv4: SkipIPv4,
  skipIpv6: SkipIPv6,
}));
export type GwAllocAnswer = z.infer<typeof GwAllocAnswer>;

/** What the plugin has chosen: null is what it left as it was. What was given may not be said again, not even the same (Docker's rule). */
export const endpointAnswer = (given: PluginInterface) =>
  goStruct({
    Interface: goStruct({ Address: Ipv4Address, AddressIPv6: Ipv6Address, MacAddress: MacText }).optional(),
  }).transform(({ Interface }, context): PluginInterface => {
    const said = [
      ['Address', given.ipv4, Interface?.Address],
      ['AddressIPv6', given.ipv6, Interface?.AddressIPv6],
      ['MacAddress', given.mac, Interface?.MacAddress],
    ] as const;
    for (const [field, before, after] of said) {
      if (before === null || after === null || after === undefined) continue;
      const message = `driver modified interface ${field}: it was given ${before}, and says ${after}`;
      context.addIssue({ code: 'custom', message, path: ['Interface', field] });
    }
    return {
      ipv4: Interface?.Address ?? null,
      ipv6: Interface?.AddressIPv6 ?? null,
      mac: Interface?.MacAddress ?? null,
    };
  });

/** What Docker puts in front of the number where a plugin says nothing. */
const PREFIX = 'eth';

/** DstName is ignored, as in every version of Docker. */
export const JoinAnswer = goStruct({
  InterfaceName: goStruct({ SrcName: LinkName, DstPrefix: LinkPrefix }).optional(),
  Gateway: Gateway4,
  GatewayIPv6: Gateway6,
  StaticRoutes: Routes,
  DisableGatewayService: goFlag,
}).transform(({ InterfaceName, Gateway, GatewayIPv6, StaticRoutes, DisableGatewayService }) => ({
  /** A link of the host that belongs into the sandbox; null: there is none to move. */
  link: InterfaceName?.SrcName ?? null,
  prefix: InterfaceName?.DstPrefix ?? PREFIX,
  gateway4: Gateway,
  gateway6: GatewayIPv6,
  routes: StaticRoutes,
  /** Where it has no gateway, a way out may be made for the sandbox. */
  outlet: !DisableGatewayService,
}));
export type JoinAnswer = z.infer<typeof JoinAnswer>;

export const OperInfo = goStruct({ Value: z.record(z.string(), z.unknown()).default({}) }).transform(
  ({ Value }): Readonly<Record<string, unknown>> => Value,
);

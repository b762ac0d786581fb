/** A plugin as an IPAM driver: every method of the interface, typed. */
import type { CallOptions } from './deadline.ts';
import type { Called } from './fault.ts';
import {
  AddressSpaces,
  addressAnswer,
  type GivenAddress,
  type GivenPool,
  IpamCapabilities,
  ipamBodies,
  poolAnswer,
  type RequestAddress,
  type RequestPool,
} from './ipam-messages.ts';
import { Nothing } from './network-messages.ts';
import type { Asking } from './plugin.ts';

/** None rejects, and each is answered within the time of the call. */
export interface IpamPlugin {
  readonly name: string;
  /** What the handshake has said; activates the plugin when it is not. */
  capabilities(options: CallOptions): Promise<Called<IpamCapabilities>>;
  /** Names of the spaces that pools come out of where nobody names one. */
  defaultAddressSpaces(options: CallOptions): Promise<Called<AddressSpaces>>;
  requestPool(request: RequestPool, options: CallOptions): Promise<Called<GivenPool>>;
  releasePool(poolId: string, options: CallOptions): Promise<Called<null>>;
  /** Answers with the prefix length of the pool. */
  requestAddress(request: RequestAddress, options: CallOptions): Promise<Called<GivenAddress>>;
  /** `address` without prefix length. */
  releaseAddress(poolId: string, address: string, options: CallOptions): Promise<Called<null>>;
}

/** A release never overtakes the request that it takes back. */
const addressLane = (poolId: string, address: string): string => `address ${address} of ${poolId}`;

export const ipamPlugin = (plugin: Asking): IpamPlugin => {
  const side = 'IpamDriver';
  return {
    name: plugin.name,
    capabilities: async (options) => {
      const activated = await plugin.activation(options);
      if (!activated.ok) return activated;
      const { ipam } = activated.value;
      if (ipam !== null) return { ok: true, value: ipam };
      return plugin.call(
        { side, method: 'GetCapabilities', body: null, answer: IpamCapabilities, lane: null },
        options,
      );
    },
    defaultAddressSpaces: (options) =>
      plugin.call({ side, method: 'GetDefaultAddressSpaces', body: null, answer: AddressSpaces, lane: null }, options),
    requestPool: (request, options) => {
      const body = ipamBodies.requestPool(request);
      return plugin.call({ side, method: 'RequestPool', body, answer: poolAnswer(request), lane: null }, options);
    },
    releasePool: (id, options) => {
      const body = ipamBodies.releasePool(id);
      return plugin.call({ side, method: 'ReleasePool', body, answer: Nothing, lane: null }, options);
    },
    requestAddress: (request, options) => {
      const body = ipamBodies.requestAddress(request);
      const lane = request.address === null ? null : addressLane(request.pool.id, request.address);
      return plugin.call({ side, method: 'RequestAddress', body, answer: addressAnswer(request), lane }, options);
    },
    releaseAddress: (id, address, options) => {
      const body = ipamBodies.releaseAddress(id, address);
      return plugin.call(
        { side, method: 'ReleaseAddress', body, answer: Nothing, lane: addressLane(id, address) },
        options,
      );
    },
  };
};

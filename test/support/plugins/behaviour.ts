// What a plugin of the tests does: well, unless it is told to do something else for a method.

export type Behaviour =
  | { readonly kind: 'well' }
  /** These bytes, whatever they are. */
  | { readonly kind: 'says'; readonly status?: number; readonly body: string }
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'hangs' }
  /** The process ends, without an answer, after it has been asked. */
  | { readonly kind: 'crashes' }
  /** Ends the connection: without a byte of an answer, or in the middle of it. */
  | { readonly kind: 'cuts'; readonly begun: boolean }
  /** These bytes instead of an answer of HTTP, and the end of the connection. */
  | { readonly kind: 'raw'; readonly bytes: string };

/** By method, or `*` for all that are not named. */
export type Behaviours = Readonly<Record<string, Behaviour>>;

export interface Asked {
  readonly method: string;
  readonly verb: string;
  /** As sent, the line feed at the end included. */
  readonly body: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Of a transcript: what was asked, and what was answered. */
export interface Exchange {
  readonly plugin: string;
  readonly method: string;
  readonly body: string;
  readonly status: number;
  readonly answer: unknown;
}

const well: Readonly<Record<string, unknown>> = {
  'Plugin.Activate': { Implements: ['NetworkDriver', 'IpamDriver'] },
  'NetworkDriver.GetCapabilities': { Scope: 'local', ConnectivityScope: 'local' },
  'NetworkDriver.CreateEndpoint': { Interface: {} },
  'NetworkDriver.EndpointOperInfo': { Value: { who: 'test' } },
  'NetworkDriver.Join': { InterfaceName: { SrcName: 'pc0', DstPrefix: 'eth' }, Gateway: '10.250.0.1' },
  'IpamDriver.GetCapabilities': { RequiresMACAddress: false, RequiresRequestReplay: false },
  'IpamDriver.GetDefaultAddressSpaces': { LocalDefaultAddressSpace: 'here', GlobalDefaultAddressSpace: 'all' },
  'IpamDriver.RequestPool': { PoolID: 'p1', Pool: '10.250.0.0/24', Data: {} },
  'IpamDriver.RequestAddress': { Address: '10.250.0.7/24', Data: {} },
};

export const wellAnswer = (method: string): string => JSON.stringify(well[method] ?? {});

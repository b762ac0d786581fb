/** What a sandbox as a whole is in the kernel, apart from its endpoints: namespace, default routes, ports, files, names. Pure. */
import { type Driver, type HostContext, type Publication, tagOf } from '../../drivers/driver.ts';
import type { KernelObject, Netns, Route } from '../../drivers/objects.ts';
import { remoteDriver } from '../../drivers/remote.ts';
import { hostNetns } from '../../events/deciders/sandbox.ts';
import type { EndpointFacts, Gateways, NetworkFacts, Plug, PortBinding, SandboxFacts } from '../../events/events.ts';
import { defaultRouteOf } from '../../events/gateways.ts';
import { RESOLVER_PORT } from '../dns/address.ts';
import type { ResolvConf } from '../dns/upstreams.ts';
import { filesOf } from './files.ts';

export interface Deployment {
  readonly host: HostContext;
  readonly drivers: ReadonlyMap<string, Driver>;
  /** What the host itself resolves names with. */
  readonly resolvConf: () => ResolvConf;
}

/** An endpoint that is in a sandbox. */
export interface Inmate {
  readonly endpoint: EndpointFacts;
  readonly network: NetworkFacts;
  readonly interface: string | null;
  /** What its carrier said of its join. */
  readonly plug: Plug | null;
}

/** A sandbox at some moment. */
export interface SandboxView {
  /** Its ports as they are leased. */
  readonly facts: SandboxFacts;
  /** In the order in which they joined. */
  readonly inmates: readonly Inmate[];
  readonly gateways: Gateways;
}

export const families = [4, 6] as const;

/** A driver that is none of ours is carried out by somebody else. */
export const driverOf = ({ drivers }: Deployment, { driver }: Pick<NetworkFacts, 'driver'>): Driver =>
  drivers.get(driver) ?? remoteDriver(driver);

export const netnsOf = ({ host }: Deployment, sandbox: SandboxFacts): Netns | null =>
  sandbox.key === hostNetns
    ? null
    : { kind: 'netns', path: sandbox.key, owned: sandbox.owned, tag: tagOf(host, 'sandbox', sandbox.incarnation) };

/** The endpoint that carries the default route of a family. */
const carrierOf = ({ inmates, gateways }: SandboxView, family: 4 | 6): Inmate | undefined =>
  inmates.find(({ endpoint }) => endpoint.id === gateways[`ipv${family}`]);

const defaultRoutes = (deployment: Deployment, view: SandboxView): readonly Route[] =>
  families.flatMap((family): readonly Route[] => {
    const carrier = carrierOf(view, family);
    const route = carrier ? defaultRouteOf(carrier.network, family, carrier.plug) : null;
    if (!carrier || carrier.interface === null || route === null) return [];
    const tag = tagOf(deployment.host, 'sandbox', view.facts.incarnation);
    const { interface: device } = carrier;
    return [{ kind: 'route', netns: view.facts.key, ...route, device, tag }];
  });

/** All leases of the sandbox and its endpoints whose host ports are known, through the endpoints that carry its default routes. */
const publicationsOf = (view: SandboxView): readonly Publication[] => {
  const all = [...view.facts.ports, ...view.inmates.flatMap(({ endpoint }) => endpoint.ports)];
  const ports = all.filter(({ hostPort }) => hostPort !== 0);
  if (ports.length === 0) return [];
  return families.flatMap((family) => {
    const carrier = carrierOf(view, family);
    if (!carrier) return [];
    return [{ family, sandbox: view.facts, network: carrier.network, endpoint: carrier.endpoint, ports }];
  });
};

/** Host ports that lead into the sandbox, as outcomes tell them. */
export const bindingsIn = (deployment: Deployment, view: SandboxView): readonly PortBinding[] =>
  publicationsOf(view).flatMap(
    (publication) => driverOf(deployment, publication.network)?.bindingsOf(publication) ?? [],
  );

const files = (deployment: Deployment, view: SandboxView, isServed: boolean): readonly KernelObject[] => {
  const directory = view.facts.files;
  if (directory === null) return [];
  const tag = tagOf(deployment.host, 'sandbox', view.facts.incarnation);
  return Object.entries(filesOf(view, deployment.resolvConf(), isServed)).map(([name, content]) => ({
    kind: 'file',
    path: `${directory}/${name}`,
    content,
    tag,
  }));
};

/** What must exist for a sandbox that somebody is in. */
export const sandboxObjects = (deployment: Deployment, view: SandboxView): readonly KernelObject[] => {
  const netns = netnsOf(deployment, view.facts);
  if (netns === null || view.inmates.length === 0) return [];
  const isServed = view.inmates.some(({ network }) => driverOf(deployment, network)?.addresses === true);
  const published = publicationsOf(view).flatMap(
    (publication) => driverOf(deployment, publication.network)?.publish(deployment.host, publication) ?? [],
  );
  const resolver: KernelObject = {
    kind: 'resolver',
    netns: netns.path,
    port: RESOLVER_PORT,
    tag: netns.tag,
  };
  return [
    netns,
    ...defaultRoutes(deployment, view),
    ...published,
    ...files(deployment, view, isServed),
    ...(isServed ? [resolver] : []),
  ];
};

/** Published ports, from text and as text. Pure. */
import type { CommandInput } from '../../events/commands.ts';
import { UsageError } from './spec.ts';

export type PortInput = NonNullable<CommandInput<'CreateEndpoint'>['ports']>[number];

/** Placeholder of `-p` in the help. */
export const portForm = '[IP:][HOST[-END]:]PORT[-END][/PROTO]';

const number = (name: string): string => String.raw`(?<${name}>\d{1,5})(?:-(?<${name}End>\d{1,5}))?`;
const own = String.raw`${number('port')}(?:/(?<proto>\w+))?`;
const address = String.raw`(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<v4>\d+\.[0-9.]+|any))`;
const forms = [
  new RegExp(`^${own}$`),
  new RegExp(`^${number('host')}:${own}$`),
  // with an address the colon of the host port stays, as in `127.0.0.1::80`
  new RegExp(`^${address}:(?:${number('host')})?:${own}$`),
];

/**
 * `8080:80`, `127.0.0.1:8080:80/udp`, `[fd00::1]:53:53`, `any:80:80`, `8000-8009:8000-8009`, `8000-8009:80` (one of these that is
 * free), and `80` or `127.0.0.1::80` for a host port that the host finds.
 */
export const parsePort = (text: string): PortInput => {
  const groups = forms.map((form) => form.exec(text)?.groups).find((found) => found !== undefined);
  if (!groups) {
    throw new UsageError(`port ${text}: write ${portForm}, such as 8080:80, 127.0.0.1:53:53/udp or [fd00::1]:80:80`);
  }
  const { host, hostEnd, port, portEnd, proto } = groups;
  const given = groups.v4 ?? groups.v6;
  return {
    port: Number(port),
    ...(host === undefined ? {} : { hostPort: Number(host) }),
    ...(hostEnd === undefined ? {} : { hostPortEnd: Number(hostEnd) }),
    ...(portEnd === undefined ? {} : { portEnd: Number(portEnd) }),
    ...(given === undefined ? {} : { hostAddress: given }),
    // an unknown protocol is refused with the others' names
    ...(proto === undefined ? {} : { protocol: proto as 'tcp' }),
  };
};

/** `8080`, or `8000-8009` for ten of them. */
export const describeRange = (first: number, count: number): string =>
  count > 1 ? `${first}-${first + count - 1}` : String(first);

/** `127.0.0.1:8080`, `[::]:8080`; a host port that is not found yet is `?`. */
export const describeSocket = (hostAddress: string, port: number, count: number): string => {
  const ports = port === 0 ? '?' : describeRange(port, count);
  return hostAddress.includes(':') ? `[${hostAddress}]:${ports}` : `${hostAddress}:${ports}`;
};

export interface Binding {
  readonly protocol: string;
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly address: string;
  readonly port: number;
  readonly count: number;
}

/** `127.0.0.1:8080/tcp -> 10.200.0.2:80`, several with commas. */
export const describeBindings = (bindings: readonly Binding[]): string =>
  bindings
    .map(({ protocol, hostAddress, hostPort, address: to, port, count }) => {
      const from = describeSocket(hostAddress, hostPort, count);
      return `${from}/${protocol} -> ${describeSocket(to, port, count)}`;
    })
    .join(', ');

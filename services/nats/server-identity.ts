/**
 * Whose certificate a server may show that is reached by an IP address. The client library hands no name over then, and node checks for
 * `localhost` (tls.connect: servername, host, the socket's, else that), so that a certificate for the address never holds.
 */
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** `10.0.0.1` of `tls://10.0.0.1:4222`, `fd00::1` of `nats://[fd00::1]:4222`; null for a name. */
const addressOf = (server: string): string | null => {
  const [, bracketed, plain] = /^(?:[a-z]+:\/\/)?(?:\[([^\]]+)\]|([^:/]*))/.exec(server) ?? [];
  const host = bracketed ?? plain ?? '';
  return isIP(host) === 0 ? null : host;
};

/** Options of a TLS connection to these servers: those that are named are checked by their names, as ever. */
export const serverIdentity = (servers: readonly string[]): object => {
  const addresses = servers.flatMap((server) => addressOf(server) ?? []);
  if (addresses.length === 0) return {};
  const check = (name: string, certificate: PeerCertificate): Error | undefined => {
    const fault = checkServerIdentity(name, certificate);
    if (fault === undefined || name !== 'localhost') return fault;
    const faults = addresses.map((address) => checkServerIdentity(address, certificate));
    return faults.includes(undefined) ? undefined : faults[0];
  };
  return { checkServerIdentity: check };
};

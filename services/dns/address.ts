/** Where names are answered inside every sandbox. */

/** What a sandbox's resolv.conf names: the address that programs expect there. */
export const RESOLVER_ADDRESS = '127.0.0.11';

/**
 * Port behind the sandbox's own 127.0.0.11:53, which stays free for its programs (drivers/objects.ts, Resolver). Below the ephemeral ports
 * (net.ipv4.ip_local_port_range starts at 32768), not assigned by IANA, and seldom listened on: a program in the sandbox that binds it on
 * all addresses finds it in use.
 */
export const RESOLVER_PORT = 11_053;

/** Names of sandboxes without sockets: only whether they could be opened counts here. */
import type { createDns } from '../../services/dns/dns.ts';

export const simNames: typeof createDns = ({ kernel }) => {
  const open = new Set<string>();
  return {
    open: async ({ incarnation, key }) => {
      if (open.has(incarnation)) return null;
      const sockets = await kernel.openResolver(key, 53);
      if (!sockets.ok) return sockets.fault;
      open.add(incarnation);
      return null;
    },
    has: (incarnation) => open.has(incarnation),
    release: async (incarnation) => {
      open.delete(incarnation);
    },
    joined: () => undefined,
    met: () => undefined,
    left: () => undefined,
    endpointChanged: () => undefined,
    networkChanged: () => undefined,
    reset: () => undefined,
    reached: () => undefined,
    close: async () => open.clear(),
    counts: { sandboxes: 0, endpoints: 0, answered: 0, forwarded: 0, shed: 0, malformed: 0, dropped: 0 },
  };
};

/** What an earlier process had silenced and not yet removed: found by its mark when the next one starts. */
import type { Netns } from '../objects.ts';
import { isFailure } from './failure.ts';
import { goHome, type Host, listLinks, patiently, type ReapJob } from './host.ts';
import { close } from './libc.ts';
import { listRecords, openNamespace, within } from './netns.ts';
import { holdNamespace } from './sandbox.ts';
import { isDead } from './transaction.ts';

const deadIn = (host: Host, { path }: Netns): readonly number[] => {
  const descriptor = openNamespace(path);
  if (typeof descriptor !== 'number') return [];
  try {
    const links = within(host, descriptor, (socket) => listLinks(socket, host.writer));
    return links.flatMap((link) => (isDead(host, link) ? [link.index] : []));
  } finally {
    close(descriptor);
  }
};

/** Interfaces inside sandboxes that live on. What cannot be looked into has to wait for another start. */
const inside = (host: Host): readonly ReapJob[] => {
  try {
    return listRecords(host).flatMap((netns) => {
      const dead = deadIn(host, netns);
      const namespace = dead.length > 0 ? holdNamespace(netns.path) : -1;
      return namespace < 0 ? [] : [{ links: [], namespace, inside: dead }];
    });
  } catch (error) {
    if (isFailure(error)) return [];
    throw error;
  } finally {
    goHome(host);
  }
};

export const findLeftovers = (host: Host): readonly ReapJob[] => {
  const links = patiently(() => listLinks(host.route, host.writer));
  const outside = links.filter((link) => isDead(host, link)).map(({ index }) => ({ links: [index], namespace: -1 }));
  return [...outside, ...inside(host)];
};

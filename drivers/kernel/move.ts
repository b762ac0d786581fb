/** Interfaces of the host that go into a sandbox, and come back. A move takes 16 ms: the kernel waits for its grace periods. */
import { type Device, formatMovedTag, parseTag } from '../objects.ts';
import { expectNone, foreign } from './failure.ts';
import { type Host, readLink, requireLink } from './host.ts';
import type { NetlinkSocket } from './netlink.ts';
import type { LinkRecord } from './records.ts';
import { moveLink } from './sublink.ts';
import { isDead } from './transaction.ts';

/**
 * Takes an interface of the host into a namespace; answers its index there. What carries a tag of ours is no plugin's to give.
 * @param from its name on the host now
 */
export const fetchLink = (
  host: Host,
  socket: NetlinkSocket,
  descriptor: number,
  device: Device,
  from: string,
): number => {
  const { name, birth, tag } = device;
  const link = requireLink(host.route, host.writer, from);
  if (parseTag(link.alias) || isDead(host, link)) throw foreign(link.kind || 'interface', link.name, link.alias);
  const move = { namespace: descriptor, name, alias: formatMovedTag(tag, birth.link) };
  moveLink(host.writer.reset(), link.index, move);
  expectNone(host.route.request(host.writer));
  return requireLink(socket, host.writer, name).index;
};

/** The old name; where that is taken, or nobody knows it any more, one of ours; and where that is taken too, one that nobody can have. */
const nameAtHome = (host: Host, link: LinkRecord, { birth, tag }: Device): string => {
  const names = [birth.link, `cn${tag.id}`].filter((name) => name !== '');
  return names.find((name) => readLink(host.route, host.writer, name) === null) ?? `cn${link.index.toString(36)}`;
};

/** Sends it home; answers its name there. */
export const sendBack = (host: Host, socket: NetlinkSocket, link: LinkRecord, device: Device): string => {
  const name = nameAtHome(host, link, device);
  moveLink(host.writer.reset(), link.index, { namespace: host.home, name, alias: '' });
  expectNone(socket.request(host.writer));
  return name;
};

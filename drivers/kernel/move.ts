/** Interfaces of the host that go into a sandbox, and come back. A move takes 16 ms: the kernel waits for its grace periods. */
import { type Device, formatTag } from '../objects.ts';
import { expectNone } from './failure.ts';
import { type Host, readLink, requireLink } from './host.ts';
import type { NetlinkSocket } from './netlink.ts';
import type { LinkRecord } from './records.ts';
import { moveLink } from './sublink.ts';

/** Takes an interface of the host into a namespace; answers its index there. */
export const fetchLink = (host: Host, socket: NetlinkSocket, descriptor: number, device: Device): number => {
  const link = requireLink(host.route, host.writer, device.birth.link);
  const move = { namespace: descriptor, name: device.name, alias: formatTag(device.tag) };
  moveLink(host.writer.reset(), link.index, move);
  expectNone(host.route.request(host.writer));
  return requireLink(socket, host.writer, device.name).index;
};

/** Sends it home under its old name; where that is taken, or nobody knows it any more, under one of ours. Answers which. */
export const sendBack = (host: Host, socket: NetlinkSocket, link: LinkRecord, { birth, tag }: Device): string => {
  const isFree = birth.link !== '' && readLink(host.route, host.writer, birth.link) === null;
  const name = isFree ? birth.link : `cn${tag.id}`;
  moveLink(host.writer.reset(), link.index, { namespace: host.home, name, alias: '' });
  expectNone(socket.request(host.writer));
  return name;
};

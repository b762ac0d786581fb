/** How devices come into being inside a namespace, on a parent that stays in the host's. */
import type { Device, DeviceSource } from '../objects.ts';
import { parseMac } from './address.ts';
import { KernelFailure, refused } from './failure.ts';
import { type Host, readLink, readLinkAt, skipIndexes, takeIndex } from './host.ts';
import type { NetlinkSocket, Refusal } from './netlink.ts';
import type { LinkRecord } from './records.ts';
import { kindOf, newSublink } from './sublink.ts';
import { isDead } from './transaction.ts';

type Born = Exclude<DeviceSource, { type: 'moved' }>;

/** A link of the host that others can stand on. @throws KernelFailure ENODEV */
export const requireParent = (host: Host, name: string): LinkRecord => {
  const link = readLink(host.route, host.writer, name);
  if (link === null || isDead(host, link)) throw new KernelFailure('KERNEL_ERROR', `no interface ${name}`, 'ENODEV');
  return link;
};

/** The kernel has no words for these (macvlan_common_newlink, ipvlan_port_create). */
const explain = (refusal: Refusal, { parent, type, mode }: Born): KernelFailure => {
  const { errno, text } = refusal;
  if (text !== '' || (errno !== 'EBUSY' && errno !== 'EINVAL')) return refused(refusal);
  const words =
    errno === 'EBUSY'
      ? `interface ${parent} is a port of something, or carries links of another kind`
      : `interface ${parent} takes no ${type} of mode ${mode} beside those that it has`;
  return new KernelFailure('KERNEL_ERROR', words, errno);
};

/** Makes the link of a device; answers its index. Explicit, so that a host's interface of the same name is in nobody's way. */
export const bear = (host: Host, socket: NetlinkSocket, descriptor: number, device: Device, source: Born): number => {
  const { name, mac, mtu } = device;
  const { index: parent } = requireParent(host, source.parent);
  const index = takeIndex(host);
  const hasOwnMac = source.type === 'macvlan' && source.mode !== 'passthru';
  const link = {
    index,
    name,
    parent,
    namespace: descriptor,
    ...(mac !== null && hasOwnMac && { mac: parseMac(mac) }),
    ...(mtu !== null && { mtu }),
  };
  newSublink(host.writer.reset(), link, kindOf(source));
  const [refusal] = host.route.request(host.writer);
  if (refusal === undefined) return index;
  const isTaken = [socket, host.route].some((one) => readLinkAt(one, host.writer, index) !== null);
  if (!isTaken) throw explain(refusal, source);
  skipIndexes(host);
  return bear(host, socket, descriptor, device, source);
};

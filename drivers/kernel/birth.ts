/** How devices come into being inside a namespace, on a parent that stays in the host's. */
import type { Device, DeviceSource } from '../objects.ts';
import { parseMac } from './address.ts';
import { expectNone, KernelFailure, refused } from './failure.ts';
import { freeIndex, type Host, readLink } from './host.ts';
import type { NetlinkSocket, Refusal } from './netlink.ts';
import { decodeNamespaceId, type LinkRecord } from './records.ts';
import { getNamespaceId, newNamespaceId, prepareLink } from './rtnetlink.ts';
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

/** The number that a sandbox has for the host's namespace; it gets one where it has none yet. */
const numberOfHost = (host: Host, socket: NetlinkSocket): number => {
  newNamespaceId(host.writer.reset(), host.home);
  getNamespaceId(host.writer, host.home);
  let number: number | null = null;
  const refusals = socket.request(host.writer, (reader, message) => {
    number = decodeNamespaceId(reader, message);
  });
  expectNone(refusals.filter(({ errno }) => errno !== 'EEXIST'));
  if (number === null) throw new KernelFailure('KERNEL_ERROR', 'the namespace has no number for that of the host');
  return number;
};

/**
 * Makes the link of a device where it is to be; answers its index. Its tag comes in the same batch, since the kernel takes none at birth (rtnl_create_link)
 * and a link without one would be nobody's.
 */
export const bear = (host: Host, socket: NetlinkSocket, device: Device, source: Born, alias: string): number => {
  const { name, mac, mtu } = device;
  const { index: parent } = requireParent(host, source.parent);
  const parentNamespace = numberOfHost(host, socket);
  const index = freeIndex(host, socket);
  const hasOwnMac = source.type === 'macvlan' && source.mode !== 'passthru';
  const link = {
    index,
    name,
    parent,
    parentNamespace,
    ...(mac !== null && hasOwnMac && { mac: parseMac(mac) }),
    ...(mtu !== null && { mtu }),
  };
  newSublink(host.writer.reset(), link, kindOf(source));
  prepareLink(host.writer, index, { quiet: false, alias });
  const [refusal] = socket.request(host.writer);
  if (refusal !== undefined) throw explain(refusal, source);
  return index;
};

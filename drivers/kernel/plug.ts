/** Makes veth pairs into namespaces that are there already. */
/** Index of the bridge that a veth is to be a port of. */
export const bridgeIndex = (host: Host, name: string): number => {
  const known = host.bridges.get(name);
  if (known !== undefined) return known;
  const link = readLink(host.route, host.writer, name);
  if (link === null || isDead(host, link)) throw new KernelFailure('KERNEL_ERROR', `no bridge ${name}`, 'ENODEV');
  host.bridges.set(name, link.index);
  return link.index;
};

/** Whether the first message, the one that makes the link, was refused. */
const notMade = (refusals: readonly Refusal[]): boolean => refusals[0]?.index === 0;

/** The host's half of a new pair; answers the peer's index inside the namespace. */
const plug = (transaction: Transaction, veth: Veth, descriptor: number, mayFree: boolean): number => {
  const { host } = transaction;
  const master = bridgeIndex(host, veth.bridge);
  const index = takeIndex(host);
  const peer = { index: 0, name: veth.peer.name, mac: parseMac(veth.peer.mac) };
  const writer = host.writer.reset();
  newVeth(writer, { index, name: veth.name, mtu: veth.mtu, peer, target: { descriptor } });
  setGenModeNone(writer, index);
  setLink(writer, index, { up: true, master, alias: formatTag(veth.tag) });
  getLinkByIndex(writer, index);
  let inner = 0;
  const refusals = host.route.request(writer, (reader, message) => {
    inner = decodeLink(reader, message)?.peer ?? 0;
  });
  if (!notMade(refusals)) {
    const run = (): void => undoing(host, (undo) => buryVeth(undo, index));
    transaction.undo.push({ what: `remove veth ${veth.name}`, run });
  }
  const [first] = refusals;
  if (first === undefined) {
    host.fresh.add(index).add(master);
    return inner;
  }
  if (first.index === 0 && first.errno === 'EBUSY') skipIndexes(host);
  else if (first.errno === 'EXFULL') {
    transaction.undo.pop()?.run();
    if (!mayFree || !freePorts(host, master)) {
      throw new KernelFailure('BRIDGE_FULL', `bridge ${veth.bridge} has no free port`, 'EXFULL');
    }
  } else throw refused(first);
  const again = readLink(host.route, host.writer, veth.name);
  if (again !== null) moveAside(host, again);
  return plug(transaction, veth, descriptor, false);
};

const create = (transaction: Transaction, veth: Veth): void => {
  const { host } = transaction;
  const descriptor = openOrFail(veth.netns);
  try {
    within(host, descriptor, (socket) => {
      const holder = readLink(socket, host.writer, veth.peer.name);
      if (holder !== null) throw foreign(holder.kind || 'interface', `${holder.name} in ${veth.netns}`, holder.alias);
      const index = plug(transaction, veth, descriptor, true);
      const writer = host.writer.reset();
      setGenModeNone(writer, index);
      setLink(writer, index, { up: true });
      for (const cidr of veth.peer.addresses) newAddress(writer, addressEntry(index, cidr));
      getLinkByIndex(writer, index);
      expectNone(socket.request(writer));
    });
  } finally {
    close(descriptor);
  }
};


/** For tests of names: facts of networks, endpoints and sandboxes, sockets to ask through, and servers to forward to. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import packet, { type Answer, type DecodedPacket, type RecordType } from 'dns-packet';
import { SOCK } from '../../drivers/kernel/constants.ts';
import { openListener } from '../../drivers/kernel/listener.ts';
import type { Kernel } from '../../drivers/port.ts';
import type { EndpointFacts, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import { createDns, type Dns, type DnsOptions } from '../../services/dns/dns.ts';
import type { ZoneMember } from '../../services/dns/zone.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import * as sample from './driver-facts.ts';

export const networkFacts = (id: string, more: Partial<NetworkFacts> = {}): NetworkFacts => ({
  ...{ ...sample.network, id, name: id, subnets: [], mtu: 1500 },
  ...more,
});

export const endpointFacts = (id: string, networkId: string, more: Partial<EndpointFacts> = {}): EndpointFacts => ({
  ...{ ...sample.endpoint, id, networkId, name: id, ipv4: null, ipv6: null, mac: null },
  ...more,
});

export const sandboxFacts = (id: string, more: Partial<SandboxFacts> = {}): SandboxFacts => ({
  ...{ ...sample.sandbox, id, incarnation: `i-${id}`, key: `/run/${id}`, files: null },
  ...more,
});

export const member = (
  network: NetworkFacts,
  endpoint: Partial<EndpointFacts> & { readonly id: string },
  sandbox: SandboxFacts,
): ZoneMember => ({ network, endpoint: endpointFacts(endpoint.id, network.id, endpoint), sandbox });

// ---------------------------------------------------------------- asking

export interface Asking {
  readonly id?: number;
  readonly type?: RecordType;
  readonly edns?: number;
  readonly flags?: number;
}

export const queryMessage = (name: string, { id = 4711, type = 'A', edns, flags }: Asking = {}): Buffer => {
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: edns,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return packet.encode({
    type: 'query',
    id,
    flags: flags ?? packet.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: edns === undefined ? [] : [opt as unknown as Answer],
  });
};

export type Reply = DecodedPacket & { readonly rcode: string };

export const decodeReply = (message: Buffer): Reply => packet.decode(message) as Reply;

/** What records say, without what is the same in all of them. */
export const dataOf = (reply: Reply, section: 'answers' | 'additionals' = 'answers'): readonly unknown[] =>
  (reply[section] ?? []).flatMap((record) => ('data' in record ? [textData(record.data)] : []));
const textData = (data: unknown): unknown => (Array.isArray(data) ? data.map(String).join('') : data);

const address = '127.0.0.11';

/** Sends messages over UDP and answers what comes back, in the order in which it comes. */
export const askUdp = async (port: number, messages: readonly Buffer[], replies = messages.length) => {
  const socket = createSocket('udp4');
  const received: Buffer[] = [];
  const whole = Promise.withResolvers<void>();
  socket.on('message', (message) => {
    if (received.push(message) === replies) whole.resolve();
  });
  socket.on('error', whole.reject);
  const sent = messages.map(
    (message) =>
      new Promise<void>((resolve) => {
        socket.send(message, port, address, () => resolve());
      }),
  );
  await Promise.all(sent);
  if (replies === 0) whole.resolve();
  try {
    await within(whole.promise, `${replies} replies, ${received.length} came`);
  } finally {
    socket.close();
  }
  return received;
};

/** Writes chunks to one connection, and answers what comes back until so many replies are there or it is closed. */
export const askTcp = async (port: number, chunks: readonly Buffer[], replies: number): Promise<readonly Buffer[]> => {
  const socket = connect({ host: address, port, noDelay: true });
  let bytes = Buffer.alloc(0);
  const received: Buffer[] = [];
  const over = Promise.withResolvers<void>();
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
      received.push(bytes.subarray(2, 2 + bytes.readUInt16BE(0)));
      bytes = bytes.subarray(2 + bytes.readUInt16BE(0));
    }
    if (received.length >= replies) over.resolve();
  });
  socket.on('close', () => over.resolve());
  socket.on('error', () => over.resolve());
  for (const chunk of chunks) {
    await new Promise<void>((resolve) => {
      socket.write(chunk, () => resolve());
    });
  }
  try {
    await within(over.promise, `${replies} replies over TCP`);
  } finally {
    socket.destroy();
  }
  return received;
};

export const framed = (message: Buffer): Buffer =>
  Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);

/** Fails instead of hanging. */
const within = async <T>(promise: Promise<T>, what: string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), 10_000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
};

// ---------------------------------------------------------------- servers to forward to

export interface Upstream {
  readonly port: number;
  /** Questions that came, in order: name, how, and from which port. */
  readonly seen: {
    readonly name: string;
    readonly protocol: 'udp' | 'tcp';
    readonly message: Buffer;
    readonly from: number;
  }[];
  /** Sends a message to whoever asked last over UDP. */
  send(message: Buffer): void;
  stop(): Promise<void>;
}

/** A server on one address: replies as it is told, or stays silent. */
export const upstream = async (
  at: string,
  port: number,
  reply: (query: DecodedPacket, protocol: 'udp' | 'tcp') => Buffer | null,
): Promise<Upstream> => {
  const seen: Upstream['seen'] = [];
  const answer = (message: Buffer, protocol: 'udp' | 'tcp', from: number): Buffer | null => {
    const query = packet.decode(message);
    seen.push({ name: query.questions?.[0]?.name ?? '', protocol, message, from });
    return reply(query, protocol);
  };
  const udp = await listenUdp(at, port);
  let last = { to: 0, who: '' };
  udp.on('message', (message, { port: to, address: who }) => {
    last = { to, who };
    const text = answer(message, 'udp', to);
    if (text) udp.send(text, to, who);
  });
  const tcp = await listenTcp(at, udp.address().port, (message, from) => answer(message, 'tcp', from));
  return {
    port: udp.address().port,
    seen,
    send: (message) => udp.send(message, last.to, last.who),
    stop: async () => {
      udp.close();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
};

const listenUdp = (at: string, port: number): Promise<UdpSocket> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(port, at, () => resolve(socket));
  });

const listenTcp = (
  at: string,
  port: number,
  answer: (message: Buffer, from: number) => Buffer | null,
): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      let bytes = Buffer.alloc(0);
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) return;
        const text = answer(bytes.subarray(2), socket.remotePort ?? 0);
        bytes = Buffer.alloc(0);
        if (text) socket.write(framed(text));
      });
    });
    server.once('error', reject);
    server.listen(port, at, () => resolve(server));
  });

/** A reply to a query: records of its name. */
export const replyTo = (
  query: DecodedPacket,
  more: Partial<Omit<DecodedPacket, 'answers'>> & { data?: string[] } = {},
) => {
  const [question] = query.questions ?? [];
  const { data = [], ...rest } = more;
  return packet.encode({
    type: 'response',
    id: query.id ?? 0,
    flags: packet.RECURSION_AVAILABLE,
    questions: query.questions ?? [],
    answers: data.map((text) => ({ type: 'A', name: question?.name ?? '', ttl: 60, data: text }) as const),
    ...rest,
  });
};

// ---------------------------------------------------------------- a resolver on the loopback of this machine

/** The port that a descriptor is bound to, as the kernel lists it. */
export const boundPort = (fd: number, protocol: 'udp' | 'tcp'): number => {
  const inode = /\[(\d+)\]/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? '';
  const lines = readFileSync(`/proc/thread-self/net/${protocol}`, 'utf8').split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/)).find((line) => line[9] === inode);
  return Number.parseInt(fields?.[1]?.split(':')[1] ?? '', 16);
};

export interface OpenedPorts {
  readonly udp: number;
  readonly tcp: number;
}

/** A kernel whose sandboxes all share this machine's loopback, each with ports of its own. By key of the sandbox. */
export const loopbackKernel = () => {
  const ports = new Map<string, OpenedPorts & { readonly fds: readonly number[] }>();
  const openResolver: Kernel['openResolver'] = async (netns) => {
    const [udp, tcp] = [openListener(SOCK.DGRAM, 0), openListener(SOCK.STREAM, 0)];
    ports.set(netns, { udp: boundPort(udp, 'udp'), tcp: boundPort(tcp, 'tcp'), fds: [udp, tcp] });
    return { ok: true, udp, tcp };
  };
  return { openResolver, ports };
};

export interface Resolving {
  readonly dns: Dns;
  readonly ports: ReadonlyMap<string, OpenedPorts & { readonly fds: readonly number[] }>;
  /** Tells a join, with the sockets of its sandbox. */
  join(member: ZoneMember): Promise<void>;
  udp(sandbox: string, name: string, asking?: Asking): Promise<Reply>;
  tcp(sandbox: string, name: string, asking?: Asking): Promise<Reply>;
}

export interface ResolvingOptions {
  readonly servers?: readonly string[];
  readonly forwarding?: DnsOptions['forwarding'];
}

/** Names of sandboxes, served on this machine's loopback. */
export const resolving = ({ servers = [], forwarding = {} }: ResolvingOptions = {}): Resolving => {
  const kernel = loopbackKernel();
  const config = { servers, search: [], options: [] };
  const upstreams = { servers: () => servers, config: () => config, close: () => undefined };
  const dns = createDns({ kernel, upstreams, forwarding, logger: silentLogger(), clock: systemClock });
  const portsOf = (sandbox: string): OpenedPorts =>
    kernel.ports.get(`/run/${sandbox}`) ?? { udp: Number.NaN, tcp: Number.NaN };
  const only = (replies: readonly Buffer[]): Reply => {
    const [reply] = replies;
    if (!reply) throw new Error('no reply');
    return decodeReply(reply);
  };
  return {
    dns,
    ports: kernel.ports,
    join: async (joining) => {
      const fault = await dns.open(joining.sandbox);
      if (fault) throw new Error(fault.text);
      dns.joined(joining);
    },
    udp: async (sandbox, name, asking) => only(await askUdp(portsOf(sandbox).udp, [queryMessage(name, asking)])),
    tcp: async (sandbox, name, asking) =>
      only(await askTcp(portsOf(sandbox).tcp, [framed(queryMessage(name, asking))], 1)),
  };
};

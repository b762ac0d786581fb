/**
 * A process inside a namespace that listens and asks, for tests of what gets through: `talker(netns)` starts one. Run by itself it
 * takes one request a line and answers each with a line.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import net from 'node:net';
import { createInterface } from 'node:readline';

export interface Address {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
}

/** `from` and `source`: port and address of the asking socket, for udp; the same ones make the same flow. */
export type TalkerRequest =
  | ({ readonly do: 'listen'; readonly name: string } & Address)
  | ({ readonly do: 'ask'; readonly timeoutMs: number; readonly from?: number; readonly source?: string } & Address)
  | ({ readonly do: 'connect' } & Address)
  | { readonly do: 'say'; readonly timeoutMs: number }
  | { readonly do: 'heard' }
  | { readonly do: 'unlisten' };

const closers: (() => void)[] = [];
let connection: net.Socket | null = null;
/** Addresses of those whose datagrams came. */
const heard: string[] = [];

/** Names itself and who asked: what the source address looks like from here. */
const listen = (name: string, { protocol, address, port }: Address): Promise<string> =>
  new Promise((resolve, reject) => {
    const answer = (peer = ''): string => `${name} ${peer.replace('::ffff:', '')}`;
    if (protocol === 'tcp') {
      const sockets = new Set<net.Socket>();
      const server = net.createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined).on('data', () => socket.write(answer(socket.remoteAddress)));
      });
      server.on('error', reject).listen(port, address, () => resolve('listening'));
      closers.push(() => {
        server.close();
        for (const socket of sockets) socket.destroy();
      });
    } else {
      const ipv6 = address.includes(':');
      const socket = dgram.createSocket({ type: ipv6 ? 'udp6' : 'udp4', ipv6Only: ipv6 });
      socket.on('message', (_, peer) => {
        heard.push(peer.address);
        socket.send(answer(peer.address), peer.port, peer.address);
      });
      socket.on('error', reject).bind(port, address, () => resolve('listening'));
      closers.push(() => socket.close());
    }
  });

/** One answer, or null when none comes in time. */
const oneAnswer = (socket: net.Socket, timeoutMs: number): Promise<string | null> =>
  new Promise((resolve) => {
    setTimeout(resolve, timeoutMs, null);
    socket.once('data', (data) => resolve(String(data)));
    socket.once('error', () => resolve(null));
    socket.write('?');
  });

const askTcp = async ({ address, port }: Address, timeoutMs: number): Promise<string | null> => {
  const socket = net.connect(port, address);
  const answer = await oneAnswer(socket, timeoutMs);
  socket.destroy();
  return answer;
};

const askUdp = ({ address, port }: Address, timeoutMs: number, from: number, source?: string): Promise<string | null> =>
  new Promise((resolve) => {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const finish = (text: string | null): void => {
      clearTimeout(timer);
      socket.close(() => resolve(text));
    };
    const timer = setTimeout(finish, timeoutMs, null);
    socket.on('message', (data) => finish(String(data)));
    // A refusal by the network.
    socket.on('error', () => undefined);
    socket.bind(from, source, () => socket.send('?', port, address, () => undefined));
  });

const handle = async (request: TalkerRequest): Promise<string | null> => {
  switch (request.do) {
    case 'listen':
      return listen(request.name, request);
    case 'heard':
      return heard.splice(0).join(' ');
    case 'unlisten':
      for (const close of closers.splice(0)) close();
      return 'closed';
    case 'connect':
      connection = net.connect(request.port, request.address);
      return oneAnswer(connection, 2000);
    case 'say':
      return connection && oneAnswer(connection, request.timeoutMs);
    case 'ask':
      return request.protocol === 'tcp'
        ? askTcp(request, request.timeoutMs)
        : askUdp(request, request.timeoutMs, request.from ?? 0, request.source);
    default:
      return request satisfies never;
  }
};

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, request } = JSON.parse(line) as { readonly id: number; readonly request: TalkerRequest };
    void handle(request).then(
      (answer) => console.log(JSON.stringify({ id, answer })),
      (error: unknown) => console.log(JSON.stringify({ id, error: String(error) })),
    );
  }
  process.exit(0);
}

export class Talker {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<string | null>>();
  #next = 0;

  /** `netns` null: the namespace of this process. */
  constructor(netns: string | null) {
    const argv = [process.execPath, import.meta.filename];
    const enter = netns === null ? [] : ['nsenter', `--net=${netns}`];
    const [command = '', ...rest] = [...enter, ...argv];
    this.#child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { id, answer, error } = JSON.parse(line) as { id: number; answer: string | null; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(error));
    });
    this.#child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('talker ended'));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  do(request: TalkerRequest): Promise<string | null> {
    const id = this.#next++;
    const waiting = Promise.withResolvers<string | null>();
    this.#waiting.set(id, waiting);
    this.#child.stdin?.write(`${JSON.stringify({ id, request })}\n`);
    return waiting.promise;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.stdin?.end();
    });
  }
}

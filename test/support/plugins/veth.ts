// A plugin that carries networks for real: `node veth.ts PATH`. A bridge per network, a veth pair per endpoint, with the `ip` command, in
// the network namespace that it is started in. It keeps nothing: names follow from ids, so it may be killed and started at any time.
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { behaviourOf, run } from './serve.ts';

// biome-ignore lint/suspicious/noExplicitAny: bodies of requests
type Body = any;

const sh = promisify(execFile);
const ip = async (command: string): Promise<void> => void (await sh('ip', command.split(' ')));
/** What is done already, or gone already, is done. */
const ipUnlessSo = async (command: string): Promise<void> => {
  try {
    await ip(command);
  } catch (error) {
    if (!/File exists|Cannot find device/.test(String((error as { stderr?: string }).stderr))) throw error;
  }
};

const bridgeOf = ({ NetworkID }: Body): string => `pb${NetworkID.slice(0, 10)}`;
const linkOf = ({ EndpointID }: Body): string => `pv${EndpointID.slice(0, 10)}`;

const methods: Readonly<Record<string, (body: Body) => Promise<unknown>>> = {
  'Plugin.Activate': async () => ({ Implements: ['NetworkDriver'] }),
  'NetworkDriver.GetCapabilities': async () => ({ Scope: 'local' }),
  'NetworkDriver.CreateNetwork': async (body) => {
    await ipUnlessSo(`link add ${bridgeOf(body)} type bridge`);
    for (const { Gateway } of body.IPv4Data) if (Gateway) await ipUnlessSo(`addr add ${Gateway} dev ${bridgeOf(body)}`);
    for (const { Gateway } of body.IPv6Data)
      if (Gateway) await ipUnlessSo(`addr add ${Gateway} dev ${bridgeOf(body)} nodad`);
    await ip(`link set ${bridgeOf(body)} up`);
    return {};
  },
  'NetworkDriver.DeleteNetwork': async (body) => {
    await ipUnlessSo(`link del ${bridgeOf(body)}`);
    return {};
  },
  'NetworkDriver.CreateEndpoint': async () => ({ Interface: {} }),
  'NetworkDriver.Join': async (body) => {
    const link = linkOf(body);
    await ipUnlessSo(`link add ${link} type veth peer name ${link}h`);
    await ip(`link set ${link}h master ${bridgeOf(body)} up`);
    const { stdout } = await sh('ip', ['-j', 'addr', 'show', 'dev', bridgeOf(body)]);
    const [found] = JSON.parse(stdout) as [{ addr_info: { family: string; scope: string; local: string }[] }];
    const gateway = (family: string): string =>
      found.addr_info.find((one) => one.family === family && one.scope === 'global')?.local ?? '';
    const InterfaceName = { SrcName: link, DstPrefix: 'eth' };
    return { InterfaceName, Gateway: gateway('inet'), GatewayIPv6: gateway('inet6') };
  },
  'NetworkDriver.DeleteEndpoint': async (body) => {
    await ipUnlessSo(`link del ${linkOf(body)}h`);
    return {};
  },
};

const tell = (asked: unknown): void => {
  process.stdout.write(`${JSON.stringify({ asked })}\n`);
};

const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', async () => {
    const method = (request.url ?? '').slice(1);
    const body = Buffer.concat(chunks).toString('utf8');
    tell({ method, verb: request.method ?? '', body, headers: {} });
    const does = behaviourOf(method).kind;
    let answer: unknown = {};
    try {
      answer = (await methods[method]?.(body === '' ? {} : JSON.parse(body))) ?? {};
    } catch (error) {
      answer = { Err: String((error as { stderr?: string }).stderr ?? error).trim() };
    }
    // What was asked is done; whether that is heard is another matter.
    if (does === 'hangs') return;
    response.writeHead(200, { 'Content-Type': 'application/vnd.docker.plugins.v1.2+json' });
    response.end(JSON.stringify(answer));
  });
};

const path = process.argv[2] ?? '';
rmSync(path, { force: true });
const server = createServer(onRequest);
run(server, (done) => server.listen(path, done));

/** `cnm doctor`: whether this machine can do what a worker needs, in plain lines with what to do. Works without a server. */
import type { KernelFacts } from '../../drivers/port.ts';
import type { Config } from '../lib/config.ts';
import { findServerBinary } from '../nats/binary.ts';
import { serverCache } from '../up/package-root.ts';
import { missingCapabilities } from '../up/privileges.ts';
import { findState } from '../up/state-file.ts';
import { bad, type Check, info, ok } from './checks.ts';
import { type Context, printJson } from './context.ts';
import { exits } from './failures.ts';
import { notReady } from './service-text.ts';
import { jsonOption, type Spec } from './spec.ts';

const rootless = 'run as root, or try it out without: `npm start -- --rootless`';

const checkPrivileges = (config: Config): Check => {
  const missing = missingCapabilities();
  if (missing.length > 0) return bad('privileges', `this process lacks ${missing.join(' and ')}`, rootless);
  return ok('privileges', config.rootless ? 'all, inside a user namespace (rootless)' : 'all that a worker needs');
};

/** What to do where the kernel lacks something; netAdmin and sysAdmin come with the privileges. */
const capabilityRemedies: Readonly<Record<string, string>> = {
  bridge: 'load the module: `modprobe bridge` (CONFIG_BRIDGE)',
  veth: 'load the module: `modprobe veth` (CONFIG_VETH)',
  nftables: 'load the module: `modprobe nf_tables` (CONFIG_NF_TABLES, CONFIG_NFT_NAT and CONFIG_NFT_MASQ)',
  netns: rootless,
};

/** What not every kernel has and only some networks need. */
const optionalRemedies: Readonly<Record<string, string>> = {
  ipv6: 'only IPv6 networks need it: boot without ipv6.disable=1',
  vxlan: 'only networks of driver overlay need it: `modprobe vxlan` (CONFIG_VXLAN)',
  macvlan: 'only networks of driver macvlan need it: `modprobe macvlan` (CONFIG_MACVLAN)',
  ipvlan: 'only networks of driver ipvlan need it: `modprobe ipvlan` (CONFIG_IPVLAN)',
  vlan: 'only parents like eth0.50 need it: `modprobe 8021q` (CONFIG_VLAN_8021Q)',
  esp: 'only encrypted overlays need it: `modprobe esp4` (CONFIG_INET_ESP, CONFIG_CRYPTO_GCM)',
};

const checkUnderlay = ({ underlay, underlayAsked }: Pick<KernelFacts, 'underlay' | 'underlayAsked'>): Check => {
  if (underlay) return ok('underlay', `${underlay.address} on ${underlay.device}, MTU ${underlay.mtu}`);
  if (underlayAsked !== null)
    return bad(
      'underlay',
      `CNM_UNDERLAY=${underlayAsked} is no IPv4 address of this host, and no interface that is up and has one`,
      'name one of `ip -4 -br addr`, or leave it out: then it is that of the default route',
    );
  return info('underlay', 'no address that other hosts reach', 'only networks of driver overlay need it: CNM_UNDERLAY');
};

/** Reads the kernel's facts in this very process, as a worker would in a thread of its own. */
const checkKernel = async ({ realm, host, runDir, underlay }: Config): Promise<readonly Check[]> => {
  const { openHost } = await import('../../drivers/kernel/host.ts');
  const { readFacts } = await import('../../drivers/kernel/facts.ts');
  const facts = readFacts(openHost({ realm, host, runDir }), underlay);
  if (facts === null) return [bad('kernel', 'links and routes change faster than they can be read', 'try again')];
  const checks: Check[] = [info('kernel', `Linux ${facts.kernel}, links take an MTU of ${facts.mtu}`)];
  for (const [name, remedy] of Object.entries(capabilityRemedies)) {
    const has = facts.capabilities[name as keyof typeof facts.capabilities];
    if (has) checks.push(ok(name, 'works'));
    else checks.push(bad(name, 'does not work here', remedy));
  }
  for (const [name, remedy] of Object.entries(optionalRemedies)) {
    const has = facts.capabilities[name as keyof typeof facts.capabilities];
    checks.push(has ? ok(name, 'works') : info(name, 'not there', remedy));
  }
  return [...checks, checkUnderlay(facts)];
};

/** The kernel's part is a line of its own. */
const checkSecret = async ({ overlaySecretFile }: Config): Promise<Check> => {
  const { readSecret } = await import('../worker/tunnel-secret.ts');
  const secret = readSecret(overlaySecretFile);
  if (secret.ok) return ok('overlay secret', `${overlaySecretFile}, ${secret.bytes.length} bytes`);
  const remedy = 'only encrypted overlays need it: `head -c 32 /dev/urandom`, the same on every host, mode 0600';
  return overlaySecretFile === null
    ? info('overlay secret', secret.why, remedy)
    : bad('overlay secret', secret.why, remedy);
};

const checkServerBinary = ({ searchPath, natsUrl }: Config): Check => {
  const found = findServerBinary({ searchPath, cacheDir: serverCache });
  if (found.ok) return ok('nats-server', `${found.version} at ${found.path}`);
  const [problem] = found.problems;
  const check = natsUrl === null ? bad : info;
  return check('nats-server', problem?.text ?? 'not found', problem?.remedy ?? '');
};

const checkServer = async (config: Config): Promise<readonly Check[]> => {
  const url = config.natsUrl ?? findState(config)?.url;
  if (url === undefined) return [info('server', 'no cnm runs here', 'start it: `npx cnm up`, or set CNM_NATS_URL')];
  const { connect } = await import('../client/index.ts');
  const { securityOf } = await import('../nats/security.ts');
  try {
    const client = await connect({ url, actor: config.actor, waitMs: 1_000, security: securityOf(config) });
    try {
      const { server, streams, services } = await client.status();
      const names = services.map(({ name }) => name.replace(/^cnm-/, ''));
      const checks = [ok('server', `nats-server ${server.version} at ${server.url}`)];
      for (const [name, state] of Object.entries(streams)) {
        checks.push(
          state === null
            ? bad(`stream of ${name}`, 'missing', 'start a service, which makes it')
            : ok(`stream of ${name}`, `at position ${state.last}`),
        );
      }
      checks.push(info('services', names.length > 0 ? [...new Set(names)].join(', ') : 'none answers'));
      for (const line of notReady(services))
        checks.push(bad('not ready', line, 'docs/operations.md#not-ready says what to do'));
      return checks;
    } finally {
      await client.close();
    }
  } catch (error) {
    const says = error instanceof Error ? error.message : String(error);
    return [bad('server', says, 'look at the server, or start `npx cnm up`')];
  }
};

const checkForwarding = async (): Promise<Check> => {
  const { readFileSync } = await import('node:fs');
  const on = readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '1';
  if (on) return ok('forwarding', 'on: the host routes between its interfaces');
  const remedy = 'the first bridge network that is not internal turns it on';
  return info('forwarding', 'off: nothing leaves or enters through this host yet', remedy);
};

const marks = { ok: 'ok  ', bad: 'BAD ', info: '    ' } as const;

const describe = ({ name, result, says, remedy }: Check): string =>
  `${marks[result]} ${name.padEnd(19)} ${says}\n${remedy === '' ? '' : `${' '.repeat(25)}-> ${remedy}\n`}`;

const doctor: Spec = {
  path: 'doctor',
  args: [],
  summary: 'whether this machine can run a worker, and what to do; needs no server',
  options: jsonOption,
  run: async (call, context: Context) => {
    const { config } = context;
    const checks: Check[] = [
      info('host', `${config.host} in realm ${config.realm}, actor ${config.actor}`),
      info('directories', `data ${config.dataDir}, run ${config.runDir}`),
      checkPrivileges(config),
    ];
    try {
      checks.push(...(await checkKernel(config)));
    } catch (error) {
      checks.push(bad('kernel', error instanceof Error ? error.message : String(error), rootless));
    }
    checks.push(await checkSecret(config), await checkForwarding());
    const { checkPlugins } = await import('./doctor-plugins.ts');
    checks.push(...(await checkPlugins({ sockets: config.pluginSockets, specs: config.pluginSpecs })));
    checks.push(checkServerBinary(config), ...(await checkServer(config)));
    const healthy = checks.every(({ result }) => result !== 'bad');
    if (call.flag('json')) printJson(context, { healthy, checks });
    else context.out(checks.map(describe).join(''));
    return healthy ? exits.done : exits.failed;
  },
};

export const doctorSpecs: readonly Spec[] = [doctor];

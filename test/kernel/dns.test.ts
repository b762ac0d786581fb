/** Resolvers inside of sandboxes, asked by programs that know nothing of us: dig, and the C library's resolver through python. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel, Plan } from '../../drivers/port.ts';
import { RESOLVER_PORT } from '../../services/dns/address.ts';
import { createDns, type Dns } from '../../services/dns/dns.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { member, networkFacts, replyTo, sandboxFacts, type Upstream, upstream } from '../support/dns.ts';
import { create, network, owner, remove, sandbox, tag } from '../support/kernel-objects.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh, succeedsIn } from '../support/netns.ts';

const run = promisify(execFile);
const canDig = spawnSync('dig', ['-v']).status === 0;

if (inOwnNamespaces(import.meta.filename)) {
  describe('resolvers in sandboxes', { skip: canDig ? false : 'dig is not here' }, () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let kernel: Kernel;
    let dns: Dns;
    let server: Upstream;
    const path = (at: number, number: number): string => `${runDir}/s${at}x${number}`;
    const objects = (at: number, number: number): readonly KernelObject[] => {
      const netns = path(at, number);
      const owned = tag('sandbox', `s${at}x${number}`);
      return [
        ...sandbox(`s${at}x${number}`, { network: at, number, netns }),
        { kind: 'resolver', netns, port: RESOLVER_PORT, tag: owned },
      ];
    };
    const apply = async (plan: Plan): Promise<void> => assert.deepEqual(await kernel.apply([plan]), [{ ok: true }]);
    const facts = (at: number, number: number) =>
      sandboxFacts(`s${at}x${number}`, { key: path(at, number), hostname: `host${number}` });
    const join = async (at: number, number: number, more: Parameters<typeof member>[1] = { id: '' }): Promise<void> => {
      const net = networkFacts(`net${at}`, { internal: at === 2 });
      const address = { ipv4: `10.${at}.0.${number}/16`, ipv6: `fd00:${at}::${number.toString(16)}/64` };
      await apply(create('box', objects(at, number)));
      assert.equal(await dns.open(facts(at, number)), null);
      dns.joined(member(net, { ...address, ...more, id: `e${at}x${number}` }, facts(at, number)));
    };
    const leave = async (at: number, number: number): Promise<void> => {
      await dns.release(`i-s${at}x${number}`);
      await apply(remove('box', objects(at, number)));
      dns.left(`e${at}x${number}`);
    };
    /** In a sandbox; answered by this process, so nothing may wait for it synchronously. */
    const inside = async (at: number, number: number, ...command: readonly string[]): Promise<string> => {
      const { stdout } = await run('nsenter', [`--net=${path(at, number)}`, ...command]);
      return stdout.trim();
    };
    const dig = (at: number, number: number, ...words: readonly string[]): Promise<string> =>
      inside(at, number, 'dig', '@127.0.0.11', '+tries=1', '+timeout=5', '+short', ...words);
    /** `status` of the reply. */
    const status = async (at: number, number: number, ...words: readonly string[]): Promise<string> => {
      const text = await inside(at, number, 'dig', '@127.0.0.11', '+tries=1', '+timeout=5', ...words);
      return /status: (\w+)/.exec(text)?.[1] ?? text;
    };

    before(async () => {
      sh('ip link set lo up');
      kernel = await linuxKernel({ ...owner, runDir, resolverPort: RESOLVER_PORT });
      server = await upstream('127.0.77.1', 0, (query) => {
        const isKnown = query.questions?.[0]?.name.endsWith('example.com') === true;
        return replyTo(query, isKnown ? { data: ['192.0.2.1'] } : { flags: 3 });
      });
      const config = { servers: ['127.0.77.1'], search: [], options: [] };
      const upstreams = { servers: () => config.servers, config: () => config, close: () => undefined };
      const forwarding = { port: server.port };
      dns = createDns({ kernel, upstreams, forwarding, logger: silentLogger(), clock: systemClock });
      await apply(create('nets', [...network(1), ...network(2, { internal: true })]));
      const services = [{ name: 'http', protocol: 'tcp' as const, port: 8080 }];
      await join(1, 2, { id: '', name: 'web', aliases: ['app'], services });
      await join(1, 3, { id: '', name: 'db', aliases: ['app'] });
      await join(2, 2, { id: '', name: 'inner' });
    });
    after(async () => {
      await dns.close();
      await server.stop();
      await kernel.close();
      sh(`umount -R ${runDir}; rmdir ${runDir}`);
    });

    it('answers dig, by UDP and TCP, for each kind of record', async () => {
      for (const how of ['+notcp', '+tcp']) {
        assert.equal(await dig(1, 3, how, 'web'), '10.1.0.2');
        assert.equal(await dig(1, 3, how, 'WEB.net1', 'AAAA'), 'fd00:1::2');
        assert.equal(await dig(1, 3, how, '-x', '10.1.0.2'), 'web.net1.');
        assert.equal(await dig(1, 3, how, '-x', 'fd00:1::2'), 'web.net1.');
        assert.equal(await dig(1, 3, how, '_http._tcp.web', 'SRV'), '0 0 8080 web.net1.');
        assert.equal(await dig(1, 3, how, 'host2'), '10.1.0.2');
      }
      assert.deepEqual((await dig(1, 3, 'app')).split('\n').sort(), ['10.1.0.2', '10.1.0.3']);
    });

    it('is well-formed to dig: flags, EDNS, empty answers, refusals', async () => {
      const text = await inside(1, 3, 'dig', '@127.0.0.11', '+tries=1', '+dnssec', 'web');
      assert.match(text, /flags: qr aa rd ra;/);
      assert.match(text, /EDNS: version: 0/);
      assert.match(text, /;web\.\t+IN\tA\n/);
      assert.doesNotMatch(text, /WARNING|malformed|mismatch/i);
      assert.equal(await status(1, 3, 'web', 'MX'), 'NOERROR');
      assert.equal(await status(1, 3, 'unknown'), 'NXDOMAIN');
      assert.equal(await status(1, 3, '+edns=1', '+noednsnegotiation', 'web'), 'BADVERS');
      assert.equal(await status(1, 3, 'web', 'AXFR', '+noall', '+comments').catch(() => 'closed'), 'REFUSED');
      assert.equal(await status(1, 3, 'web', 'CH', 'TXT'), 'REFUSED');
      assert.equal(await status(1, 3, '+opcode=update', 'web'), 'NOTIMP');
      assert.equal(await status(1, 3, '+header-only'), 'FORMERR');
    });

    it('tells the position that its names are at', async () => {
      dns.reached(123);
      assert.equal(await dig(1, 2, 'position.cnm', 'TXT'), '"position=123"');
    });

    it('asks others from the host, and nobody for internal networks', async () => {
      assert.equal(await dig(1, 2, 'www.example.com'), '192.0.2.1');
      assert.equal(await dig(1, 2, '+tcp', 'www.example.com'), '192.0.2.1');
      const before = server.seen.length;
      assert.equal(await status(2, 2, 'www.example.com'), 'NXDOMAIN');
      assert.equal(await dig(2, 2, 'inner'), '10.2.0.2');
      assert.equal(await dig(2, 2, 'web'), '', 'of another network');
      assert.equal(server.seen.length, before);
    });

    it("answers the C library's resolver", async () => {
      const file = `${runDir}/resolv.conf`;
      writeFileSync(file, 'nameserver 127.0.0.11\nsearch net1\noptions ndots:0\n');
      const program = `
import socket
def of(name, family):
    try: return sorted({found[4][0] for found in socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)})
    except socket.gaierror as error: return error.errno == socket.EAI_NONAME or error.errno == socket.EAI_NODATA
print([of('web', socket.AF_INET), of('web', socket.AF_INET6), of('web', socket.AF_UNSPEC), of('app.net1', socket.AF_INET),
       of('nowhere', socket.AF_UNSPEC), of('www.example.com', socket.AF_INET), socket.gethostbyaddr('10.1.0.2')[0]])`;
      const mounted = `mount --bind ${file} /etc/resolv.conf && exec python3 -c "$0"`;
      const text = await inside(1, 3, 'unshare', '--mount', 'sh', '-c', mounted, program);
      assert.equal(
        text,
        "[['10.1.0.2'], ['fd00:1::2'], ['10.1.0.2', 'fd00:1::2'], ['10.1.0.2', '10.1.0.3'], True, ['192.0.2.1'], 'web.net1']",
      );
    });

    it('leaves port 53 to the programs of the sandbox', () => {
      const program = `
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('0.0.0.0', 53))
tcp = socket.socket(); tcp.bind(('0.0.0.0', 53)); tcp.listen()`;
      assert.ok(succeedsIn(path(1, 2), `python3 -c "${program}"`));
    });

    it('is only for its own sandbox', async () => {
      const unasked = await run('dig', [
        '@127.0.0.11',
        '-p',
        String(RESOLVER_PORT),
        '+tries=1',
        '+timeout=1',
        'web',
      ]).then(
        () => 'answered',
        () => 'not answered',
      );
      assert.equal(unasked, 'not answered', 'on the host');
    });

    it('says why it has no sockets in a namespace that is not there', async () => {
      const fault = await dns.open(facts(1, 99));
      assert.equal(fault?.step, `open resolver in ${path(1, 99)}`);
      assert.equal(dns.counts.sandboxes, 3);
    });

    it('lets a namespace go that is released', async () => {
      await join(1, 9, { id: '', name: 'gone' });
      assert.equal(await dig(1, 2, 'gone'), '10.1.0.9');
      // Lives as long as the namespace.
      sh(
        `ip link add probe0 type veth peer name probe1; nsenter --net=${path(1, 9)} sh -c :; exec 3<${path(1, 9)}; ip link set probe1 netns /proc/self/fd/3`,
      );
      await leave(1, 9);
      await waitFor(() => !ipLinks().some(({ ifname }) => ifname === 'probe0'), { what: 'the namespace to go' });
      assert.equal(await status(1, 2, 'gone'), 'NXDOMAIN');
    });

    it('answers for a sandbox that joins, leaves and joins again, each time with what is there', async () => {
      for (let round = 0; round < 10; round++) {
        assert.equal(await status(1, 2, 'again'), 'NXDOMAIN', `round ${round}`);
        await join(1, 20 + round, { id: '', name: 'again' });
        assert.equal(await dig(1, 2, 'again'), `10.1.0.${20 + round}`);
        assert.equal(await dig(1, 20 + round, 'web'), '10.1.0.2');
        await leave(1, 20 + round);
      }
    });
  });
}

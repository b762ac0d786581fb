/** Who reaches whom: networks of every mode, sandboxes on them, hosts outside, and the host itself; both families. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { address, Lab, type Place, port, privatePort, servicePort } from '../support/firewall-lab.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const options = {
  icc: 'com.docker.network.bridge.enable_icc',
  mode4: 'com.docker.network.bridge.gateway_mode_ipv4',
  mode6: 'com.docker.network.bridge.gateway_mode_ipv6',
  source4: 'com.docker.network.host_ipv4',
  source6: 'com.docker.network.host_ipv6',
  masquerade: 'com.docker.network.bridge.enable_ip_masquerade',
  trusted: 'com.docker.network.bridge.trusted_host_interfaces',
} as const;

const [nat, noIcc, internal, routed, open, chosen, mixed, isolated, bare] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

const places: readonly Place[] = [nat, noIcc, internal, routed, open, chosen, mixed, isolated, bare].flatMap((at) =>
  [2, 3].map((number) => ({ at, number })),
);

type Family = 4 | 6;

interface Journey {
  readonly from: string;
  readonly to: Place;
  readonly family: Family;
  readonly port: number;
}

const nameOf = ({ at, number }: Place): string => `${at}x${number}`;
const hasNoWayOut = (at: number): boolean => at === internal || at === isolated;

/** Who may reach an endpoint at its own address. */
const reaches = ({ from, to, family, port: at }: Journey): boolean => {
  // Without an address on the bridge the host is no neighbour either.
  if (from === 'host') return to.at !== isolated;
  const source = places.find((place) => nameOf(place) === from)?.at ?? null;
  if (source === to.at) return to.at !== noIcc;
  if (hasNoWayOut(to.at) || (source !== null && hasNoWayOut(source))) return false;
  if (to.at === open) return true;
  if (to.at === routed || (to.at === mixed && family === 6)) return at === servicePort;
  return to.at === chosen && from === 'friend';
};

if (inOwnNamespaces(import.meta.filename)) {
  for (const bridged of [true, false]) {
    describe(`isolation, where the ruleset ${bridged ? 'sees' : 'does not see'} bridged packets`, () => {
      const lab = new Lab();

      before(async () => {
        for (const setting of ['iptables', 'ip6tables'])
          sh(`sysctl -qw net.bridge.bridge-nf-call-${setting}=${bridged ? 1 : 0}`);
        await lab.open();
        lab.addOutside('out', 1);
        lab.addOutside('friend', 2);
        sh('ip addr add 192.0.1.7/24 dev up1; ip addr add 2001:db8:1::7/64 dev up1 nodad preferred_lft 0');
        await lab.addNetwork(nat);
        await lab.addNetwork(noIcc, { options: { [options.icc]: 'false' } });
        await lab.addNetwork(internal, { internal: true });
        await lab.addNetwork(routed, { options: { [options.mode4]: 'routed', [options.mode6]: 'routed' } });
        await lab.addNetwork(open, {
          options: { [options.mode4]: 'nat-unprotected', [options.mode6]: 'nat-unprotected' },
        });
        await lab.addNetwork(chosen, {
          options: { [options.source4]: '192.0.1.7', [options.source6]: '2001:db8:1::7', [options.trusted]: 'up2' },
        });
        await lab.addNetwork(mixed, { options: { [options.mode6]: 'routed' } });
        await lab.addNetwork(isolated, {
          internal: true,
          options: { [options.mode4]: 'isolated', [options.mode6]: 'isolated' },
        });
        await lab.addNetwork(bare, { options: { [options.masquerade]: 'false' } });
        for (const place of places) await lab.addBox(place);
        const ports = [port({ port: servicePort })];
        for (const at of [routed, mixed]) {
          for (const number of [2, 3])
            await lab.apply(
              'ports',
              lab.published({ at, number }, ports).filter(({ set }) => set.startsWith('routed')),
            );
        }
      });
      after(() => lab.close());

      const check = async (journeys: readonly Journey[]): Promise<void> => {
        const wrong: string[] = [];
        const travel = async (journey: Journey): Promise<void> => {
          const { from, to, family, port: at } = journey;
          const expected = reaches(journey);
          // Long enough for what has to come, in a crowd; what may not come would come at once.
          const timeoutMs = expected ? 5000 : 400;
          const answer = await lab.ask(from, { protocol: 'tcp', address: address(to, family), port: at }, timeoutMs);
          const reached = answer?.startsWith(`${nameOf(to)} `) ?? false;
          if (reached !== expected) wrong.push(`${from} -> ${nameOf(to)} IPv${family} port ${at}: ${answer}`);
        };
        for (const one of Object.values(Object.groupBy(journeys, ({ from }) => from))) {
          await Promise.all((one ?? []).map(travel));
        }
        assert.deepEqual(wrong, []);
      };

      const toAll = (from: string): readonly Journey[] =>
        places.flatMap((to) =>
          ([4, 6] as const).flatMap((family) =>
            [servicePort, privatePort].map((at) => ({ from, to, family, port: at })),
          ),
        );

      it('holds between endpoints', () =>
        check(places.flatMap((from) => toAll(nameOf(from)).filter(({ to }) => nameOf(to) !== nameOf(from)))));

      it('holds against hosts outside, who know the way', () => check(['out', 'friend'].flatMap(toAll)));

      it('does not hold off the host itself', () => check(toAll('host')));

      it('lets endpoints out as their network says', async () => {
        const listener = { do: 'listen', name: 'out', protocol: 'tcp', port: 7 } as const;
        await lab.talker('out').do({ ...listener, address: '::' });
        const seen = async (at: number, family: Family): Promise<string | null> => {
          const to = family === 4 ? '192.0.1.2' : '2001:db8:1::2';
          const timeoutMs = hasNoWayOut(at) ? 400 : 5000;
          return lab.ask(`${at}x2`, { protocol: 'tcp', address: to, port: 7 }, timeoutMs);
        };
        const expected: Readonly<Record<number, readonly [string | null, string | null]>> = {
          [nat]: ['out 192.0.1.1', 'out 2001:db8:1::1'],
          [noIcc]: ['out 192.0.1.1', 'out 2001:db8:1::1'],
          [internal]: [null, null],
          [routed]: ['out 10.4.0.2', 'out fd00:4::2'],
          [open]: ['out 192.0.1.1', 'out 2001:db8:1::1'],
          [chosen]: ['out 192.0.1.7', 'out 2001:db8:1::7'],
          [mixed]: ['out 192.0.1.1', 'out fd00:7::2'],
          [isolated]: [null, null],
          [bare]: ['out 10.9.0.2', 'out fd00:9::2'],
        };
        for (const [at, [four, six]] of Object.entries(expected)) {
          assert.deepEqual([await seen(Number(at), 4), await seen(Number(at), 6)], [four, six], `network ${at}`);
        }
      });

      it('keeps what has begun when it closes', async () => {
        const two: Place = { at: nat, number: 2 };
        const icc = { kind: 'element', set: 'icc', key: ['cb1', 'cb1'], data: [] } as const;
        const [element] = (await lab.kernel.census()).objects.filter(
          (object) => object.kind === 'element' && object.set === icc.set && object.key[0] === icc.key[0],
        );
        assert.ok(element);
        const talker = lab.talker('1x3');
        assert.ok(await talker.do({ do: 'connect', protocol: 'tcp', address: address(two, 4), port: servicePort }));
        await lab.change({ op: 'delete', object: element });
        assert.ok(await talker.do({ do: 'say', timeoutMs: 5000 }));
        await lab.change({ op: 'create', object: element });
      });
    });
  }
}

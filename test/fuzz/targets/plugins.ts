/** What plugins answer, what their files say, and under which names they are looked for. */
import assert from 'node:assert/strict';
import { resolve, sep } from 'node:path';
import { getLinkByName } from '../../../drivers/kernel/rtnetlink.ts';
import { MessageWriter } from '../../../drivers/kernel/writer.ts';
import { readJson, readSpec, readUrl } from '../../../services/plugins/address.ts';
import { interpret } from '../../../services/plugins/caller.ts';
import { findPlugin } from '../../../services/plugins/discovery.ts';
import * as ipam from '../../../services/plugins/ipam-messages.ts';
import * as network from '../../../services/plugins/network-messages.ts';
import { goldenPluginAnswers } from '../golden.ts';
import { json, mutatedJson, mutatedText, type Random, text } from '../random.ts';
import type { Target } from '../target.ts';

const nothing = { ipv4: null, ipv6: null, mac: null };
const given = { ipv4: '10.9.0.2/24', ipv6: null, mac: '02:42:0a:09:00:02' };
const pool = { id: 'p1', subnet: '10.9.0.0/24' };
const schemas = [
  network.Nothing,
  network.NetworkCapabilities,
  network.GwAllocAnswer,
  network.endpointAnswer(nothing),
  network.endpointAnswer(given),
  network.JoinAnswer,
  network.OperInfo,
  ipam.IpamCapabilities,
  ipam.AddressSpaces,
  ipam.poolAnswer({ pool: '10.9.0.0/24', range: null, ipv6: false, space: 'local', options: {} } as never),
  ipam.poolAnswer({ pool: null, range: null, ipv6: true, space: 'local', options: {} } as never),
  ipam.addressAnswer({ pool, address: null, options: {} } as never),
];

/** IFNAMSIZ, and no path: what goes to the kernel as the name of a link. */
const assertLinkName = (name: string | null): void => {
  if (name !== null) {
    assert.match(name, /^(?!\.{1,2}$)[^\s/:\0]{1,15}$/u);
    const writer = new MessageWriter(256);
    getLinkByName(writer.reset(), name);
    const bytes = writer.bytes.subarray(0, writer.length);
    assert.ok(Buffer.from(bytes).includes(Buffer.from(`${name}\0`)), 'the kernel is asked for that very name');
  }
};

export const pluginAnswers: Target = {
  name: 'plugin-answers',
  share: 10,
  start: () => {
    const good = goldenPluginAnswers().map(({ answer }) => answer);
    good.push({
      InterfaceName: { SrcName: 'veth1', DstPrefix: 'eth' },
      Gateway: '10.9.0.1',
      StaticRoutes: [{ Destination: '10.8.0.0/16', RouteType: 0, NextHop: '10.9.0.7' }],
    });
    good.push(
      { Interface: { Address: '10.9.0.2/24', MacAddress: '02:42:0a:09:00:02' } },
      { PoolID: 'p1', Pool: '10.9.0.0/24', Data: {} },
      { Address: '10.9.0.3/24', Data: {} },
    );
    return (random: Random) => {
      const answer = random.chance(0.85) ? mutatedJson(random, random.pick(good)) : json(random);
      const written = JSON.stringify(answer) ?? '';
      const body = random.chance(0.15) ? mutatedText(random, written) : written;
      const status = random.pick([200, 200, 200, 404, 500, 301]);
      for (const schema of schemas) {
        const called = interpret('step', { status, body }, schema as never);
        if (!called.ok) assert.match(called.fault.code, /^[A-Z_]+$/);
      }
      const joined = interpret('Join', { status: 200, body }, network.JoinAnswer);
      if (!joined.ok) return;
      assertLinkName(joined.value.link);
      assertLinkName(`${joined.value.prefix}0`.slice(0, 15));
      for (const address of [joined.value.gateway4, joined.value.gateway6])
        if (address !== null) assert.match(address, /^[0-9a-f:.]+$/);
    };
  },
};

export const pluginFiles: Target = {
  name: 'plugin-files',
  share: 5,
  start: () => {
    const directories = { sockets: ['/run/cnm-fuzz-none/plugins'], specs: ['/etc/cnm-fuzz-none/plugins'] };
    return (random: Random) => {
      const url = mutatedText(
        random,
        random.pick(['unix:///run/x.sock', 'tcp://127.0.0.1:80', 'https://h.example:8443/x', 'http://[::1]:1']),
      );
      for (const read of [
        readUrl(url),
        readSpec(url),
        readJson(JSON.stringify({ Addr: url, TLSConfig: json(random, 1) })),
        readJson(url),
      ]) {
        if (!read.ok) assert.equal(typeof read.problem, 'string');
        else if (read.address.kind === 'unix') assert.ok(read.address.path.startsWith('/'));
      }
      const name = text(random);
      // A name that would lead elsewhere is none: in a directory that all may look into, it would find what lies there.
      const outside = findPlugin({ sockets: ['/'], specs: ['/etc', '/proc/self'] }, name);
      if (outside !== null)
        assert.ok(
          ['/', '/etc', '/proc/self'].some((root) =>
            resolve(outside.file).startsWith(root === '/' ? '/' : root + sep),
          ) && !name.includes('/'),
        );
      assert.equal(findPlugin(directories, name), null);
    };
  },
};

// Specifications of networks that stand on a link of the host: which subnets they may have, and who may be on them at once.
import { describe, it } from 'node:test';
import { pool, settling, subnets } from '../support/settling.ts';
import {
  did,
  endpoint,
  failed,
  givenIn,
  joined,
  left,
  network,
  reported,
  type Step,
} from '../support/specification.ts';
import { hostFacts } from '../support/world.ts';

const capabilities = { ...hostFacts('h1').capabilities, macvlan: true, ipvlan: true, vlan: true };
const facts = {
  capabilities,
  routes: ['192.168.1.0/24', '192.168.0.0/16', '192.168.7.0/24', '172.20.0.0/24', 'fd00:1::/64'],
  linkRoutes: {
    eth0: ['192.168.1.0/24', '192.168.0.0/16', '172.20.0.0/24', 'fd00:1::/64'],
    eth1: ['192.168.7.0/24', '172.20.0.0/24'],
  },
};
const given = (...steps: readonly Step[]) => givenIn({ facts }, ...steps);
const on = (
  parent: string | null,
  subnet: string,
  more: { readonly driver?: string; readonly overlap?: boolean } = {},
) => ({
  driver: more.driver ?? 'macvlan',
  options: parent === null ? {} : { parent },
  ...(subnet.includes(':') ? { ipv4: false, ipv6: true } : {}),
  ipam: { subnets: [{ subnet }], overlap: more.overlap ?? false },
});
const created = { type: 'NetworkCreateRequested' } as const;

describe('subnets of networks on a link of the host', () => {
  it('may be what the host reaches over that link', () => {
    for (const driver of ['macvlan', 'ipvlan'])
      for (const subnet of ['192.168.1.0/24', '192.168.1.64/26', '192.168.2.0/24', 'fd00:1::/64'])
        given()
          .when('CreateNetwork', { name: 'lan', ...on('eth0', subnet, { driver }) })
          .records(created);
  });

  it('may be that also where a plugin has given it', () => {
    const lan = network('lan', { driver: 'macvlan', options: { parent: 'eth0' }, ipam: { driver: 'weave' } });
    const asked = () => givenIn({ facts: { ...facts, drivers: ['weave'] } }, lan);
    for (const subnet of ['192.168.1.0/24', '192.168.1.64/26'])
      settling(asked(), subnets(pool(subnet))).records({ type: 'NetworkSettled', data: { subnets: [{ subnet }] } });
    settling(asked(), subnets(pool('192.168.7.0/24'))).refuses('SUBNET_OVERLAPS', { kind: 'route' });
  });

  it('may not be what it reaches over another link, or over none that is known', () => {
    const refused = (parent: string | null, subnet: string, id: string) =>
      given()
        .when('CreateNetwork', { name: 'lan', ...on(parent, subnet) })
        .refuses('SUBNET_OVERLAPS', { kind: 'route', id });
    refused('eth0', '192.168.7.0/24', '192.168.7.0/24');
    refused('eth0', '172.20.0.0/24', '172.20.0.0/24');
    refused('eth1', '192.168.1.0/24', '192.168.1.0/24');
    refused('eth9', '192.168.1.0/24', '192.168.1.0/24');
    refused('eth0.50', '192.168.1.0/24', '192.168.1.0/24');
    refused(null, '192.168.1.0/24', '192.168.1.0/24');
    given()
      .when('CreateNetwork', { name: 'lan', ...on('eth0', '192.168.7.0/24', { overlap: true }) })
      .records(created);
  });

  it('of a bridge may be none of them', () => {
    given()
      .when('CreateNetwork', { name: 'lan', ipam: { subnets: [{ subnet: '192.168.1.0/24' }] } })
      .refuses('SUBNET_OVERLAPS', { kind: 'route' });
  });

  it('may not be those of other networks, and are in their way', () => {
    const lan = network('lan', on('eth0', '192.168.1.0/24'));
    given(lan)
      .when('CreateNetwork', { name: 'two', ...on('eth0', '192.168.1.0/25') })
      .refuses('SUBNET_OVERLAPS', { kind: 'network', name: 'lan' });
    given(lan)
      .when('CreateNetwork', { name: 'two', ...on('eth0', '192.168.2.0/24') })
      .records(created);
  });
});

describe('mode passthru', () => {
  const lan = network('lan', { driver: 'macvlan', options: { parent: 'eth0', macvlan_mode: 'passthru' } });
  const attach = (sandbox: string) => did('AttachSandbox', { sandbox, networks: [{ network: 'lan' }] });
  const full = (...steps: readonly Step[]) => ({
    refuses: (name: string) => {
      const { when } = given(lan, endpoint('lan', 'b'), ...steps);
      when('JoinEndpoint', { network: 'lan', endpoint: 'b', sandbox: 's9' }).refuses('DRIVER_FORBIDS', {
        kind: 'endpoint',
        name,
      });
      when('AttachSandbox', { sandbox: 's9', networks: [{ network: 'lan' }] }).refuses('DRIVER_FORBIDS', { name });
    },
  });

  it('has one endpoint in a sandbox, and any number outside', () => {
    full(endpoint('lan', 'a'), joined('lan', 'a', 's1')).refuses('a');
    full(attach('s1'), reported).refuses('s1');
    given(lan, endpoint('lan', 'a'), reported)
      .when('CreateEndpoint', { network: 'lan', name: 'b' })
      .records({ type: 'EndpointCreateRequested' });
  });

  it('takes the next one when the first is to leave, and not while it may come back', () => {
    given(lan, endpoint('lan', 'b'), attach('s1'), reported, did('DetachSandbox', { sandbox: 's1' }))
      .when('JoinEndpoint', { network: 'lan', endpoint: 'b', sandbox: 's2' })
      .records({ type: 'EndpointJoinRequested' });
    given(lan, endpoint('lan', 'a'), endpoint('lan', 'b'), joined('lan', 'a', 's1'), failed('EndpointJoinRequested'))
      .when('JoinEndpoint', { network: 'lan', endpoint: 'b', sandbox: 's2' })
      .records({ type: 'EndpointJoinRequested' });
    const away = did('MoveSandbox', { sandbox: 's1', from: 'lan', to: { network: 'web' } });
    full(network('web'), attach('s1'), reported, away).refuses('s1');
    full(
      endpoint('lan', 'a'),
      joined('lan', 'a', 's1'),
      reported,
      left('lan', 'a'),
      failed('EndpointLeaveRequested'),
    ).refuses('a');
  });

  it('does not let a sandbox move from it to itself, since the new endpoint comes before the old one goes', () => {
    given(lan, attach('s1'), reported)
      .when('MoveSandbox', { sandbox: 's1', from: 'lan', to: { network: 'lan', name: 'again' } })
      .refuses('DRIVER_FORBIDS', { name: 's1' });
  });

  it('is the only mode that is so', () => {
    given(network('lan', on('eth0', '10.1.0.0/24')), attach('s1'))
      .when('AttachSandbox', { sandbox: 's2', networks: [{ network: 'lan' }] })
      .records({ type: 'EndpointCreateRequested' }, { type: 'EndpointJoinRequested' });
  });
});

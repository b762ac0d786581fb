// Networks of the realm: decided once for all hosts, and what is unique in them guarded on a subject of their own.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { commitHeaders, decodeCommit, type EventOf } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import type { Injected } from '../support/memory-stream.ts';
import { able, RealmStage } from '../support/realm-stage.ts';

const overlay = { driver: 'overlay' };
const attach = (sandbox: string, name = sandbox) => ({ sandbox, networks: [{ network: 'web', name }] });

const networksIn = (stage: RealmStage) => [...stage.realm().shared.networks.values()];
/** Of endpoints in networks of the realm: their sandboxes' ways out are the host's own. */
const creations = (stage: RealmStage) =>
  stage
    .events()
    .filter(
      (event): event is EventOf<'EndpointCreateRequested'> & { position: number } =>
        event.type === 'EndpointCreateRequested' && event.data.endpoint.origin !== 'outlet',
    );
const ofRealm = (stage: RealmStage) => stage.viewed().filter(([, host]) => host === '');
const admissions = (stage: RealmStage) =>
  stage
    .events()
    .filter((event): event is EventOf<'EndpointAdmitted'> & { position: number } => event.type === 'EndpointAdmitted');

/**
 * Every creation in the realm has its admission before it, with the same name and addresses, and that names the commit that the
 * creation's comes behind. @returns how many were admitted and never created
 */
const checkAdmissions = (stage: RealmStage): number => {
  const stored = stage.log.stored();
  const admitted = new Map(admissions(stage).map((event) => [event.data.endpointId, event]));
  for (const { data, position } of creations(stage)) {
    const { id: endpointId, networkId, name, ipv4, ipv6, mac } = data.endpoint;
    const admission = admitted.get(endpointId) ?? assert.fail(`${name} is not admitted`);
    const { host, ...rest } = admission.data;
    assert.deepEqual(rest, { endpointId, networkId, name, ipv4, ipv6, mac });
    const [before, after] = [stored[admission.position - 1], stored[position - 1]];
    assert.equal(before?.subject, subjects.network(networkId));
    assert.equal(after?.subject, subjects.host(host));
    assert.ok(admission.position < position);
    const head = stored.slice(0, position - 1).findLast(({ subject }) => subject === after?.subject);
    assert.ok(
      before
        ?.header(commitHeaders.awaits)
        .split(',')
        .includes(`${after?.subject}=${head?.position ?? 0}`),
    );
  }
  return admitted.size - creations(stage).length;
};

/** What becomes of appends, one each: a generator of its own, so that a failure can be repeated. */
const fates = (seed: number, count: number): readonly (Injected | undefined)[] => {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return ([undefined, undefined, 'conflict', 'lost', 'unacknowledged'] as const)[Math.floor((state / 2 ** 32) * 5)];
  });
};

describe('networks of the realm', () => {
  let stage: RealmStage;
  beforeEach(async () => {
    stage = new RealmStage();
    await stage.host('h1');
    await stage.host('h2');
    await stage.controller();
  });
  afterEach(() => stage.stop());

  it('are made without a host, and done at once', async () => {
    const answer = await stage.run('CreateNetwork', { name: 'web', ...overlay, ipv6: true });
    assert.equal(answer.status, 'succeeded');
    const [row] = networksIn(stage);
    assert.ok(row);
    assert.equal(row.status, 'active');
    const { scope, driver, mtu, defaultRoute, tunnel } = row.facts;
    assert.deepEqual(
      { scope, driver, mtu, defaultRoute, tunnel },
      {
        scope: 'realm',
        driver: 'overlay',
        mtu: 1450,
        defaultRoute: 'outlet',
        tunnel: { port: 4789, encrypted: false },
      },
    );
    const [ipv4, ipv6] = row.facts.subnets;
    assert.deepEqual([ipv4?.subnet, ipv4?.gateway, ipv4?.vni, ipv6?.vni], ['10.204.0.0/24', null, 4096, 4096]);
    const created = stage.events().find(({ type }) => type === 'NetworkCreateRequested');
    assert.equal(created?.meta.executors, '');
    assert.equal(stage.log.stored()[(created?.position ?? 0) - 1]?.subject, subjects.realm);
    assert.equal(stage.realm().boundaries.get(subjects.realm)?.state.intents.size, 0);
  });

  it('give each endpoint an address that no other host gives', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    await stage.run('AttachSandbox', attach('a'), 'h1');
    await stage.run('AttachSandbox', attach('b'), 'h2');
    await stage.run('CreateEndpoint', { network: 'web', name: 'c' }, 'h1');
    assert.deepEqual(
      creations(stage).map(({ data }) => [data.endpoint.name, data.endpoint.ipv4]),
      [
        ['a', '10.204.0.1/24'],
        ['b', '10.204.0.2/24'],
        ['c', '10.204.0.3/24'],
      ],
    );
    assert.equal(checkAdmissions(stage), 0);
    stage.checkChain();
  });

  it('refuse on one host what another holds', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    await stage.run(
      'CreateEndpoint',
      { network: 'web', name: 'a', interfaces: [{ ipv4: '10.204.0.9', mac: '02:00:00:00:00:09' }] },
      'h1',
    );
    const onH2 = (name: string, wanted: { ipv4?: string; mac?: string }) =>
      stage.code('CreateEndpoint', { network: 'web', name, interfaces: [wanted] }, 'h2');
    assert.equal(await onH2('A', {}), 'ENDPOINT_EXISTS');
    assert.equal(await onH2('b', { ipv4: '10.204.0.9' }), 'ADDRESS_IN_USE');
    assert.equal(await onH2('b', { mac: '02:00:00:00:00:09' }), 'MAC_IN_USE');
    assert.equal(creations(stage).length, 1);
  });

  it('stay while an endpoint is in them, and end with the last that is reported gone', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    await stage.run('AttachSandbox', attach('a'), 'h1');
    await stage.run('AttachSandbox', attach('b'), 'h2');
    assert.deepEqual(ofRealm(stage), [['web', '', 'active', 2]]);
    assert.equal(await stage.code('DeleteNetwork', { network: 'web' }), 'NETWORK_HAS_ENDPOINTS');
    await stage.run('DetachSandbox', { sandbox: 'a' });
    const late = stage.reporters.get('h2') ?? assert.fail();
    late.isPaused = true;
    await stage.send('DetachSandbox', { sandbox: 'b' });
    assert.equal(await stage.code('DeleteNetwork', { network: 'web' }), 'succeeded');
    assert.deepEqual(
      networksIn(stage).map(({ status }) => status),
      ['deleting'],
    );
    assert.deepEqual(ofRealm(stage), [['web', '', 'deleting', 1]]);
    assert.equal(await stage.code('CreateEndpoint', { network: 'web', name: 'c' }, 'h1'), 'NETWORK_NOT_FOUND');
    late.isPaused = false;
    late.work();
    await stage.settled();
    const { shared } = stage.realm();
    assert.deepEqual(ofRealm(stage), []);
    assert.deepEqual([shared.networks.size, shared.cells.size, shared.vnis.size], [0, 0, 0]);
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    assert.deepEqual(
      networksIn(stage)[0]?.facts.subnets.map(({ vni }) => vni),
      [4097],
      'no identifier is used again soon',
    );
    stage.checkChain();
  });

  it('are found by where their endpoints and sandboxes are', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    const made = { network: 'web', name: 'a' };
    assert.equal(await stage.code('CreateEndpoint', made), 'HOST_REQUIRED');
    assert.equal(await stage.code('CreateEndpoint', { ...made, network: 'h2/web' }), 'succeeded');
    assert.equal(await stage.code('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 'box' }), 'succeeded');
    assert.equal(await stage.code('LeaveEndpoint', { network: 'web', endpoint: 'A' }), 'succeeded');
    assert.equal(await stage.code('AttachSandbox', attach('box')), 'HOST_REQUIRED');
    assert.equal(await stage.code('AttachSandbox', attach('box'), 'h1'), 'succeeded');
    assert.equal(await stage.code('DeleteEndpoint', { network: 'web', endpoint: 'a' }, 'h1'), 'ENDPOINT_NOT_FOUND');
    assert.equal(await stage.code('DeleteEndpoint', { network: 'web', endpoint: 'a' }), 'succeeded');
    assert.deepEqual(
      creations(stage).map(({ meta }) => meta.executors),
      ['h2', 'h1'],
    );
  });

  it('are refused where they cannot work or are taken', async () => {
    const create = (name: string, more: object = {}) => stage.code('CreateNetwork', { name, ...overlay, ...more });
    const vni = 'com.docker.network.driver.overlay.vxlanid_list';
    assert.equal(await create('web', { options: { encrypted: '' } }), 'CAPABILITY_MISSING');
    assert.equal(await create('web', { options: { [vni]: '5000' } }), 'succeeded');
    assert.equal(await create('WEB'), 'NETWORK_EXISTS');
    assert.equal(await create('db', { options: { [vni]: '5000' } }), 'VNI_IN_USE');
    assert.equal(await create('db', { configOnly: true }), 'CONFIG_CONFLICT');
    assert.equal(await create('db', { ipam: { subnets: [{ subnet: '10.204.0.0/16' }] } }), 'SUBNET_OVERLAPS');
    assert.equal(await create('db', { ipam: { subnets: [{ subnet: '10.201.0.0/24' }] } }), 'SUBNET_OVERLAPS', 'a pool');
    const plain = (name: string, subnet: string) =>
      stage.code('CreateNetwork', { name, ipam: { subnets: [{ subnet }] } }, 'h1');
    assert.equal(await plain('web', '10.9.0.0/24'), 'NETWORK_EXISTS');
    assert.equal(await plain('own', '10.204.0.0/16'), 'SUBNET_OVERLAPS');
    assert.equal(await plain('own', '10.9.0.0/24'), 'succeeded');
    assert.equal(await create('own'), 'NETWORK_EXISTS', 'on a host');
    assert.equal(await create('db', { ipam: { subnets: [{ subnet: '10.9.0.0/25' }] } }), 'SUBNET_OVERLAPS', 'a host');
    const port = { sandbox: 'box', networks: [{ network: 'web', ports: [{ port: 80, hostPort: 80 }] }] };
    const onHost = (host: string) => stage.code('AttachSandbox', { ...port, sandbox: host }, host);
    assert.deepEqual([await onHost('h1'), await onHost('h2')], ['succeeded', 'succeeded'], 'ports are each host’s own');
    assert.equal(await stage.code('AttachSandbox', { ...port, sandbox: 'other' }, 'h1'), 'PORT_IN_USE');
  });

  it('take labels anew, and nothing else', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    assert.equal(await stage.code('UpdateNetwork', { network: 'web', labels: { a: 'b' } }), 'succeeded');
    assert.equal(await stage.code('UpdateNetwork', { network: 'h1/web', options: { x: 'y' } }), 'OPTION_IMMUTABLE');
    const [row] = networksIn(stage);
    assert.deepEqual([row?.facts.labels, row?.update], [{ a: 'b' }, null]);
  });

  it('are not for hosts that have no way to the others, or a narrower one', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    await stage.host('h3', {});
    await stage.host('h4', able('h4', 1499));
    await stage.host('h5', { ...able('h5'), underlay: null });
    await stage.host('h6', { ...able('h6'), underlay: null, underlayAsked: 'eth7' });
    const on = (host: string) => stage.code('CreateEndpoint', { network: 'web', name: host }, host);
    assert.equal(await on('h3'), 'CAPABILITY_MISSING');
    assert.equal(await on('h4'), 'MTU_UNFIT');
    assert.equal(await on('h5'), 'CAPABILITY_MISSING');
    const asked = await stage.run('CreateEndpoint', { network: 'web', name: 'h6' }, 'h6');
    assert.equal(asked.code, 'CAPABILITY_MISSING');
    assert.match(String(asked.detail), /^host h6 has no address .*; CNM_UNDERLAY of h6 is eth7, which is not there$/);
    assert.equal(await on('h1'), 'succeeded');
    await stage.run('CreateNetwork', { name: 'narrow', ...overlay });
    assert.equal(networksIn(stage).at(-1)?.facts.mtu, 1449);
  });

  it('are not made with an MTU that no link between hosts takes', async () => {
    const create = (name: string, mtu: number, encrypted = 'false') =>
      stage.run('CreateNetwork', {
        name,
        ...overlay,
        options: { 'com.docker.network.driver.mtu': `${mtu}`, encrypted },
      });
    const wide = await create('wide', 1451);
    assert.deepEqual([wide.code, wide.culprits], ['MTU_UNFIT', [{ kind: 'host', id: 'h1', detail: 'up0, MTU 1500' }]]);
    assert.equal((await create('wide', 67)).code, 'OPTION_INVALID', 'what the option may be comes first');
    assert.equal((await create('full', 1450)).code, undefined);
    await stage.host('h3', able('h3', 9000));
    assert.equal((await create('wide', 1451)).code, undefined, 'one host takes it');
    await stage.run('LapseHost', { host: 'h3', epoch: 1, since: '2026-11-21T01:09:24.001Z' });
    assert.equal((await create('wider', 8950)).code, undefined, 'and may come back');
    assert.equal((await create('widest', 8951)).code, 'MTU_UNFIT');
  });

  it('do not wait for a host that is away', async () => {
    await stage.host('h3', able('h3', 1400));
    await stage.run('CreateNetwork', { name: 'narrow', ...overlay });
    assert.equal(networksIn(stage).at(-1)?.facts.mtu, 1350);
    assert.equal(
      await stage.code('LapseHost', { host: 'h3', epoch: 1, since: '2026-11-21T01:09:24.001Z' }),
      'succeeded',
    );
    await stage.run('CreateNetwork', { name: 'wide', ...overlay });
    assert.equal(networksIn(stage).at(-1)?.facts.mtu, 1450);
  });

  it('are never plain where they were asked to be encrypted', async () => {
    const create = (name: string, encrypted: string) =>
      stage.run('CreateNetwork', { name, ...overlay, options: { encrypted } });
    const encrypting = (host: string) => ({ ...able(host), capabilities: { ...able(host).capabilities, esp: true } });
    for (const value of ['', 'true']) {
      const refusal = await create('web', value);
      assert.equal(refusal.code, 'CAPABILITY_MISSING');
      assert.deepEqual(refusal.culprits, [{ kind: 'capability', id: 'esp', detail: 'h1' }]);
    }
    // Nothing that a host lacks is in the way of a value that there is not.
    const astray = await create('web', 'maybe');
    assert.equal(astray.code, 'OPTION_INVALID');
    assert.deepEqual(astray.culprits, [{ kind: 'option', id: 'encrypted', detail: 'maybe' }]);
    assert.equal((await create('plain', 'false')).status, 'succeeded');
    await stage.stop();
    stage = new RealmStage();
    for (const host of ['h1', 'h2']) await stage.host(host, encrypting(host));
    await stage.controller();
    assert.equal((await create('web', '')).status, 'succeeded');
    assert.equal((await create('plain', 'false')).status, 'succeeded');
    const [web, plain] = networksIn(stage);
    assert.deepEqual([web?.facts.tunnel, web?.facts.mtu], [{ port: 4790, encrypted: true }, 1413]);
    assert.deepEqual([plain?.facts.tunnel, plain?.facts.mtu], [{ port: 4789, encrypted: false }, 1450]);
    // one that comes later, and cannot
    await stage.host('h3');
    const on = (network: string, host: string) => stage.run('CreateEndpoint', { network, name: host }, host);
    const refusal = await on('web', 'h3');
    assert.equal(refusal.code, 'CAPABILITY_MISSING');
    assert.deepEqual(refusal.culprits, [{ kind: 'capability', id: 'esp', detail: 'h3' }]);
    assert.equal((await on('web', 'h1')).status, 'succeeded');
    assert.equal((await on('plain', 'h3')).status, 'succeeded');
  });

  it('get new keys by a command that no host has to be named for, whatever the subject says', async () => {
    for (const [index, host] of [null, 'h2', null].entries()) {
      assert.equal(await stage.code('RotateTunnelKeys', {}, host), 'succeeded');
      const generations = stage
        .events()
        .flatMap((event) => (event.type === 'TunnelKeysRotated' ? [event.data.generation] : []));
      assert.deepEqual(
        generations,
        Array.from({ length: index + 1 }, (_, at) => at + 1),
      );
    }
    stage.checkChain();
  });

  for (const seed of [1, 2, 3, 4]) {
    it(`hold their rules with two controllers at once, whatever becomes of their appends (seed ${seed})`, async () => {
      await stage.run('CreateNetwork', { name: 'web', ...overlay });
      await stage.controller();
      stage.fates.push(...fates(seed, 40));
      const names = Array.from({ length: 40 }, (_, index) => `s${index}`);
      // each name twice, on either host: one of the two is refused
      for (const name of names)
        for (const host of ['h1', 'h2']) await stage.send('CreateEndpoint', { network: 'web', name }, host);
      await stage.settled();
      const made = creations(stage).map(({ data }) => data.endpoint);
      assert.deepEqual(made.map(({ name }) => name).sort(), [...names].sort());
      assert.equal(new Set(made.map(({ ipv4 }) => ipv4)).size, names.length);
      assert.equal(new Set(made.map(({ mac }) => mac)).size, names.length);
      const refusals = stage.events().filter(({ type }) => type === 'CommandRefused');
      assert.equal(refusals.length, names.length);
      assert.equal(stage.fates.length, 0);
      checkAdmissions(stage);
      stage.checkChain();
    });
  }

  it('admit what is never created, and nobody decides on them before that is certain', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    // the admission is stored, what it admits is not
    stage.fates.push(undefined, 'lost');
    assert.equal(await stage.code('CreateEndpoint', { network: 'web', name: 'a' }, 'h1'), 'succeeded');
    assert.equal(checkAdmissions(stage), 1);
    assert.equal(creations(stage).length, 1);
    const onH1 = stage.log.stored().filter(({ subject }) => subject === subjects.host('h1'));
    // the one that ends the wait, and the creation behind it
    assert.deepEqual(
      onH1.map(({ body }) => decodeCommit(body, subjects.host('h1')).map(({ type }) => type)),
      [[], ['EndpointCreateRequested']],
    );
    assert.deepEqual([...stage.realm().awaited], []);
    stage.checkChain();
  });

  it('wait for what another controller has admitted and may still create', async () => {
    await stage.run('CreateNetwork', { name: 'web', ...overlay });
    const [network] = networksIn(stage);
    const subject = subjects.network(network?.facts.id ?? '');
    // as one that has lost its lease and not noticed: its admission comes, its commit on h1 is late
    const head = await stage.log.lastOn(subject);
    await stage.log.append({
      ...{ subject, id: 'late', body: '[]', expectedLast: head?.position ?? 0 },
      headers: { [commitHeaders.awaits]: `${subjects.host('h1')}=0` },
    });
    assert.equal(await stage.code('CreateEndpoint', { network: 'web', name: 'b' }, 'h2'), 'succeeded');
    const late = { subject: subjects.host('h1'), id: 'later', body: '[]', expectedLast: 0 };
    assert.deepEqual(await stage.log.append(late), { kind: 'conflict' });
  });
});

it('take their subnets from the pools that controllers are told, and name those when nothing is left', async () => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.controller({ realmPools: [{ base: '10.9.8.0/23', size: 24 }] });
  for (const name of ['a', 'b']) assert.equal(await stage.code('CreateNetwork', { name, ...overlay }), 'succeeded');
  assert.deepEqual(
    networksIn(stage).map(({ facts }) => facts.subnets[0]?.subnet),
    ['10.9.8.0/24', '10.9.9.0/24'],
  );
  const answer = await stage.run('CreateNetwork', { name: 'c', ...overlay });
  assert.equal(answer.code, 'SUBNET_POOL_EXHAUSTED');
  assert.match(String(answer.detail), /all 2 subnets .*10\.9\.8\.0\/23 in \/24/);
  assert.deepEqual(
    (answer.culprits as { readonly name: string }[]).map(({ name }) => name),
    ['a', 'b'],
  );
  await stage.stop();
});

it('are refused while no host is known that can reach others', async () => {
  const stage = new RealmStage();
  await stage.host('h1', {});
  await stage.host('h2', { underlayAsked: '192.0.2.7' });
  await stage.controller();
  const { code, detail, culprits } = await stage.run('CreateNetwork', { name: 'web', ...overlay });
  assert.equal(code, 'CAPABILITY_MISSING');
  assert.match(String(detail), /^no host has an address .*; CNM_UNDERLAY of h2 is 192\.0\.2\.7, which is not there$/);
  assert.deepEqual(culprits, [
    { kind: 'capability', id: 'underlay' },
    { kind: 'host', id: 'h2', detail: 'CNM_UNDERLAY=192.0.2.7' },
  ]);
  await stage.stop();
});

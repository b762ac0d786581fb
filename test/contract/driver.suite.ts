/**
 * What every driver does with the seven verbs, on the whole way from the command over decider and worker to the kernel and back.
 * Where drivers differ, they are listed in driver-profiles.ts.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Kernel, Operation, Plan } from '../../drivers/port.ts';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { hostNetns } from '../../events/deciders/sandbox.ts';
import type { Outcome } from '../../events/queries.ts';
import { elementsOf } from '../support/driver-facts.ts';
import { mortal } from '../support/mortal.ts';
import { linkPlugins, type Machine } from '../support/plugins/links.ts';
import { memoryStreams, System } from '../support/system.ts';
import { exceptions, profiles, variants } from './driver-profiles.ts';
import type { Profile } from './profiles/profile.ts';
import { remote } from './profiles/remote.ts';

/** A machine of its own for a host of the tests' realm and name. */
export interface DriverHarness {
  readonly kernel: Kernel;
  readonly runDir: string;
  /** Where a plugin makes its links. */
  readonly machine: Machine;
  /** What of ours is on the machine, seen from outside. */
  traces(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** An operation that fails on every kernel: `update`, so that what is before it is done before it. */
const impossible: Operation = (() => {
  const object = {
    kind: 'route',
    netns: '/run/no-such-namespace',
    destination: '0.0.0.0/0',
    gateway: '192.0.2.1',
    device: 'eth0',
    tag: { realm: 'test', host: 'h1', entity: 'sandbox', id: 'none' },
  } as const;
  return { op: 'update', from: object, object };
})();

/** A kernel whose plans fail after a number of operations, as often as told. */
export const breakable = (kernel: Kernel) => {
  let times = 0;
  let after = 0;
  /** Operations of the last plan. */
  let last = 0;
  const broken = (plan: Plan): Plan => {
    last = plan.operations.length;
    if (times === 0 || after > last) return plan;
    times -= 1;
    return { ...plan, operations: plan.operations.toSpliced(after, 0, impossible) };
  };
  return {
    kernel: { ...kernel, apply: (plans: readonly Plan[]) => kernel.apply(plans.map(broken)) },
    breakAfter: (operations: number, often = 1): void => {
      times = often;
      after = operations;
    },
    heal: (): void => {
      times = 0;
    },
    get operations() {
      return last;
    },
  };
};

type Step = (system: System) => Promise<Outcome>;
const step =
  <T extends CommandType>(type: T, data: CommandInput<T>): Step =>
  (system) =>
    system.outcomeOf(type, data);

/** The verbs in the order of a life; what each needs is done by those before it. */
const lifeOf = ({ driver, options }: Profile): Readonly<Record<string, Step>> => ({
  configure: step('ConfigureDriver', { driver, options }),
  createNetwork: step('CreateNetwork', { name: 'net', driver }),
  createEndpoint: step('CreateEndpoint', { network: 'net', name: 'ep' }),
  join: step('JoinEndpoint', { network: 'net', endpoint: 'ep', sandbox: 'box' }),
  leave: step('LeaveEndpoint', { network: 'net', endpoint: 'ep' }),
  deleteEndpoint: step('DeleteEndpoint', { network: 'net', endpoint: 'ep' }),
  deleteNetwork: step('DeleteNetwork', { network: 'net' }),
});

const kindsOf = (objects: readonly KernelObject[]): readonly string[] => objects.map(({ kind }) => kind).sort();
const keysOf = (objects: readonly KernelObject[]): readonly string[] => objects.map(objectKey).sort();

const conforms = (profile: Profile, open: () => Promise<DriverHarness>): void => {
  const { driver } = profile;
  let harness: DriverHarness;
  let breaks: ReturnType<typeof breakable>;
  let system: System;
  const objects = async (): Promise<readonly KernelObject[]> => (await harness.kernel.census()).objects;
  const life = lifeOf(profile);
  /** Runs a life up to and without this verb. */
  const before = async (verb: string): Promise<void> => {
    for (const [name, run] of Object.entries(life)) {
      if (name === verb) return;
      assert.equal((await run(system)).status, 'succeeded', name);
    }
  };

  beforeEach(async () => {
    harness = await open();
    breaks = breakable(harness.kernel);
    const plugins = linkPlugins([remote.driver], harness.machine);
    const { runDir } = harness;
    system = await new System({ ...memoryStreams(), kernel: breaks.kernel, plugins, runDir }).start();
  });
  afterEach(async () => {
    await system.stop();
    await harness.close();
  });

  it('lives: each verb makes what it should, and the last ones leave nothing', async () => {
    const seen: Record<string, readonly string[]> = {};
    for (const [verb, run] of Object.entries(life)) {
      const outcome = await run(system);
      assert.equal(outcome.status, 'succeeded', `${verb}: ${JSON.stringify(outcome.fault)}`);
      seen[verb] = kindsOf(await system.check());
      const [endpoint] = outcome.endpoints;
      if (verb === 'createEndpoint') assert.equal(endpoint?.ipv4 !== null, profile.hasAddresses);
      if (verb !== 'join') continue;
      assert.equal(endpoint?.interface, profile.interface);
      assert.equal(outcome.sandbox?.key, profile.hasNamespace ? `${harness.runDir}/netns/box` : hostNetns);
    }
    const made = [...profile.network].sort();
    const joined = [...profile.network, ...profile.join].sort();
    assert.deepEqual(seen, {
      configure: [],
      createNetwork: made,
      createEndpoint: made,
      join: joined,
      leave: made,
      deleteEndpoint: made,
      deleteNetwork: [],
    });
    await harness.kernel.settled();
    assert.deepEqual(await harness.traces(), []);
  });

  it('attaches and detaches whole sandboxes', async () => {
    assert.equal((await life.createNetwork?.(system))?.status, 'succeeded');
    for (let round = 0; round < 2; round++) {
      await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'net' }] });
      assert.deepEqual(kindsOf(await system.check()), [...profile.network, ...profile.join].sort());
      await system.run('DetachSandbox', { sandbox: 'box' });
      assert.deepEqual(kindsOf(await system.check()), [...profile.network].sort());
    }
  });

  if (driver === 'bridge') {
    it('publishes: ports lead through the gateway of the sandbox, follow it, and go with who leased them', async () => {
      const leading = async () => elementsOf(await system.check()).filter((element) => /^(dnat|routed)/.test(element));
      for (const name of ['net', 'other']) await system.run('CreateNetwork', { name, driver });
      const { endpoints } = await system.run('AttachSandbox', {
        sandbox: 'box',
        ports: [{ hostAddress: '0.0.0.0', hostPort: 18_080, port: 80 }],
        networks: [
          { network: 'net', name: 'ep', ports: [{ hostPort: 18_081, hostPortEnd: 18_082, port: 81, portEnd: 82 }] },
          { network: 'other', name: 'ep' },
        ],
      });
      const [first = '', second = ''] = endpoints.map(({ ipv4 }) => ipv4?.split('/')[0]);
      assert.deepEqual([...(await leading())].sort(), [
        `dnat4 { tcp . 18080 : ${first} . 80 }`,
        `dnat4ip { 127.0.0.1 . tcp . 18081 : ${first} . 81 }`,
        `dnat4ip { 127.0.0.1 . tcp . 18082 : ${first} . 82 }`,
      ]);
      await system.run('LeaveEndpoint', { network: 'net', endpoint: 'ep' });
      assert.deepEqual(await leading(), [`dnat4 { tcp . 18080 : ${second} . 80 }`]);
      await system.run('DetachSandbox', { sandbox: 'box' });
      assert.deepEqual(await leading(), []);
    });

    it('publishes nothing of what failed', async () => {
      await system.run('CreateNetwork', { name: 'net', driver });
      const attach = () =>
        system.outcomeOf('AttachSandbox', {
          sandbox: 'box',
          networks: [{ network: 'net', ports: [{ hostPort: 18_080, port: 80 }] }],
        });
      const held = keysOf(await objects());
      for (let after = 0; ; after++) {
        breaks.breakAfter(after);
        const outcome = await attach();
        breaks.heal();
        if (outcome.status === 'succeeded') break;
        assert.deepEqual(keysOf(await system.check()), held, `after ${after} operations`);
      }
      assert.equal(elementsOf(await system.check()).filter((element) => element.startsWith('dnat')).length, 1);
    });
  }

  for (const { what, internal = false, options } of variants) {
    if (driver !== 'bridge') break;
    it(`makes networks with ${what}, and all that an endpoint can ask for`, async () => {
      await system.run('CreateNetwork', { name: 'net', driver, ipv6: true, internal, options });
      await system.run('AttachSandbox', {
        sandbox: 'box',
        networks: [
          {
            network: 'net',
            interface: 'lan0',
            linkLocal: ['169.254.7.7', 'fe80::7', 'fe80::8'],
            routes: [{ destination: '10.78.0.0/24' }, { destination: 'fd78::/64', gateway: 'fe80::9' }],
            sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' },
            ports: internal ? [] : [{ hostAddress: 'any', hostPort: 18_080, port: 80, protocol: 'udp' }],
          },
        ],
      });
      await system.check();
      await system.run('DetachSandbox', { sandbox: 'box' });
      await system.run('DeleteNetwork', { network: 'net' });
      assert.deepEqual(await system.check(), []);
    });
  }

  it('does a command once, however often it is sent', async () => {
    await before('join');
    const data = { network: 'net', endpoint: 'ep', sandbox: 'box' };
    const sent = system.send('JoinEndpoint', data);
    const outcome = await sent.outcome;
    const events = (await system.events()).length;
    const again = system.send('JoinEndpoint', data, { id: sent.id });
    assert.deepEqual(await again.outcome, outcome);
    assert.equal((await again.first).position, (await sent.first).position);
    assert.equal((await system.events()).length, events);
    await system.check();
  });

  for (const verb of ['createNetwork', 'createEndpoint', 'join'] as const) {
    it(`${verb}: a failure after any operation leaves nothing of it, and it can be asked for again`, async () => {
      await before(verb);
      const held = keysOf(await objects());
      for (let after = 0; ; after++) {
        breaks.breakAfter(after);
        const outcome = await life[verb]?.(system);
        breaks.heal();
        if (outcome?.status === 'succeeded') break;
        assert.equal(outcome?.fault?.code, 'NETNS_UNUSABLE');
        assert.deepEqual(keysOf(await system.check()), held, `after ${after} operations`);
      }
      await system.check();
    });
  }

  for (const verb of ['leave', 'deleteEndpoint', 'deleteNetwork'] as const) {
    it(`${verb}: is tried again after a failure, whichever operation it was`, async () => {
      await before(verb);
      for (let after = 0; ; after++) {
        breaks.breakAfter(after);
        const outcome = await life[verb]?.(system);
        assert.equal(outcome?.status, 'succeeded', JSON.stringify(outcome?.fault));
        await system.check();
        if (after >= breaks.operations) break;
        breaks.heal();
        // Back to where this verb can be asked for.
        for (const other of { leave: ['join'], deleteEndpoint: ['createEndpoint'], deleteNetwork: ['createNetwork'] }[
          verb
        ]) {
          assert.equal((await life[other]?.(system))?.status, 'succeeded');
        }
      }
    });
  }

  it('leave: what could not be removed goes when the endpoint is deleted', async () => {
    await before('leave');
    const held = keysOf(await objects());
    breaks.breakAfter(1, 2);
    const outcome = await life.leave?.(system);
    breaks.heal();
    if (profile.join.length > 0) {
      assert.equal(outcome?.status, 'failed');
      assert.deepEqual(keysOf(await objects()), held);
    }
    await system.run('DeleteEndpoint', { network: 'net', endpoint: 'ep' });
    assert.deepEqual(kindsOf(await system.check()), [...profile.network].sort());
  });

  it('does every verb once, though the worker dies between the kernel’s change and the report', async () => {
    await before('createNetwork');
    for (const verb of Object.keys(life).slice(1)) {
      await system.stopWorker();
      const doomed = mortal({ log: system.options.log, kernel: harness.kernel }, (what, kill) => {
        if (what === 'after apply') kill();
      });
      await system.startWorker(doomed);
      const outcome = life[verb]?.(system);
      // A verb without kernel objects never gets there.
      await Promise.race([outcome, doomed.died]);
      if (!doomed.dead) await system.stopWorker();
      await system.startWorker();
      assert.equal((await outcome)?.status, 'succeeded', verb);
      await system.check();
    }
    assert.deepEqual(await objects(), []);
  });

  for (const { what, command, data, codes } of exceptions) {
    const code = codes[driver] ?? null;
    it(`${code === null ? 'does' : 'refuses'} ${what}${code === null ? '' : `: ${code}`}`, async () => {
      await before('join');
      await system.run('AttachSandbox', { sandbox: 'busy', networks: [{ network: 'net', name: 'other' }] });
      const asked = command === 'CreateNetwork' || command === 'ConfigureDriver' ? { driver, ...data } : data;
      const first = await system.send(command, asked as never).first;
      assert.equal(first.kind === 'refused' ? first.code : null, code);
    });
  }
};

/** Where the kernel lacks what a driver stands on. */
const isRefused = ({ driver, capability = '' }: Profile, open: () => Promise<DriverHarness>): void => {
  it(`is refused before anything changes: there is no ${capability}`, async () => {
    const { kernel, runDir, traces, close } = await open();
    const system = await new System({ ...memoryStreams(), kernel, runDir }).start();
    try {
      const first = await system.send('CreateNetwork', { name: 'net', driver }).first;
      assert.ok(first.kind === 'refused');
      assert.equal(first.code, 'CAPABILITY_MISSING');
      assert.deepEqual(
        first.culprits.map(({ kind, id }) => [kind, id]),
        [['capability', capability]],
      );
      const events = (await system.events()).map(({ type }) => type);
      const decided = events.filter((type) => type !== 'CapacityStated');
      assert.deepEqual([...decided].sort(), ['CommandRefused', 'HostFacts', 'RealmOpened']);
      assert.deepEqual([(await kernel.census()).objects, await traces()], [[], []]);
    } finally {
      await system.stop();
      await close();
    }
  });
};

/** The drivers that a kernel cannot have without a capability. */
export const refusalSuite = (kernel: string, open: () => Promise<DriverHarness>, capability: string): void => {
  for (const profile of profiles) {
    if (profile.capability !== capability) continue;
    describe(`driver ${profile.driver} on ${kernel}`, () => isRefused(profile, open));
  }
};

/** @param lacking capabilities that this kernel does not have */
export const driverSuite = (
  kernel: string,
  open: () => Promise<DriverHarness>,
  lacking: readonly string[] = [],
): void => {
  for (const profile of profiles) {
    if (profile.capability !== undefined && lacking.includes(profile.capability)) continue;
    describe(`driver ${profile.driver} on ${kernel}`, () => conforms(profile, open));
  }
  for (const capability of lacking) refusalSuite(kernel, open, capability);
};

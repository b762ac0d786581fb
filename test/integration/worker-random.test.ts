/** Random commands, failures, deadlines and deaths: whatever happens, every intent ends once, and log and kernel agree afterwards. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Operation } from '../../drivers/port.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { type Mortal, mortal } from '../support/mortal.ts';
import { host, memoryStreams, realm, type Sent, System } from '../support/system.ts';

const network = fc.constantFrom('a', 'b', 'c', 'd');
const endpoint = fc.constantFrom('e', 'f');
const sandbox = fc.constantFrom('one', 'two');
const kinds = fc.constantFrom<Operation['object']['kind']>(
  'netns',
  'bridge',
  'vxlan',
  'element',
  'veth',
  'route',
  'file',
);
/** Small numbers, so that they clash; 0 is for the host to choose. */
const hostPort = fc.constantFrom(0, 0, 80, 81, 82);
const ports = fc.array(hostPort, { maxLength: 2 });
const portRequests = (numbers: readonly number[]) =>
  numbers.map((number) => (number === 0 ? { port: 80 } : { hostPort: number, port: number }));

const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('createNetwork' as const), network }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deleteNetwork' as const), network }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('createEndpoint' as const), network, endpoint }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deleteEndpoint' as const), network, endpoint }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('join' as const), network, endpoint, sandbox }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('leave' as const), network, endpoint }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('attach' as const),
      networks: fc.uniqueArray(network, { minLength: 1 }),
      sandbox,
      ports,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('detach' as const), sandbox }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('move' as const), sandbox, from: network, to: network, ports }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('update' as const),
      network,
      endpoint: fc.constantFrom('e', 'f', 'one', 'two'),
      ports,
      gatewayPriority: fc.nat(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('updateNetwork' as const),
      network,
      mtu: fc.integer({ min: 1400, max: 1402 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('listen' as const), port: fc.constantFrom(80, 81, 32768, 32769) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('hush' as const), port: fc.constantFrom(80, 81, 32768, 32769) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      op: fc.constantFrom('create', 'delete'),
      kind: kinds,
      undo: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hang' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('kill' as const), calls: fc.nat(6), lose: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('takeOver' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('trouble' as const),
      with: fc.constantFrom('lost', 'unacknowledged', 'conflict'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

class Play {
  readonly #machine = new MemoryMachine();
  readonly #streams = memoryStreams();
  readonly #system = new System({
    ...this.#streams,
    kernel: memoryKernel(this.#machine, { realm, host }),
    runDir: '/run/cnm',
  });
  readonly #sent: Sent[] = [];
  #release: () => void = () => undefined;
  #life: Mortal | null = null;
  #fuse = Number.POSITIVE_INFINITY;

  async start(): Promise<void> {
    const underlay = { address: '192.0.2.1', device: 'up0', mtu: 1500 };
    this.#machine.facts = { ...this.#machine.facts, underlay };
    await this.#begin();
    await this.#system.startController();
    // Without networks there would be little to do.
    for (const name of ['a', 'b', 'c', 'd'] as const) await this.act({ do: 'createNetwork', network: name });
  }

  async #begin(): Promise<void> {
    const kernel = memoryKernel(this.#machine, { realm, host });
    this.#life = mortal({ log: this.#streams.log, kernel }, (_, kill) => {
      if (this.#fuse-- <= 0) kill();
    });
    await this.#system.startWorker(this.#life);
  }

  #send(...args: Parameters<System['send']>): void {
    this.#sent.push(this.#system.send(args[0], args[1], { deadlineMs: this.#sent.length % 3 === 0 ? 1 : 30_000 }));
  }

  /** The worker dies within some calls; while it is away, something in the kernel is lost, as in a boot. */
  async #kill(calls: number, lose: number): Promise<void> {
    this.#fuse = calls;
    await turns(20);
    this.#life?.kill();
    this.#release();
    await turns(10);
    this.#fuse = Number.POSITIVE_INFINITY;
    const lost = this.#machine.objects().filter((_, index) => index % 6 === lose);
    for (const object of lost) {
      if (object.kind === 'netns') this.#machine.removeNamespace(object.path);
      if (object.kind === 'netns') this.#machine.tamper(`netns ${object.path}`, null);
      if (object.kind === 'route') this.#machine.tamper(`route ${object.netns} ${object.destination}`, null);
      if (object.kind === 'element') this.#machine.tamper(`element ${object.set} ${object.key.join(' . ')}`, null);
    }
    await this.#begin();
  }

  async act(step: Action): Promise<void> {
    switch (step.do) {
      case 'createNetwork':
        return this.#send('CreateNetwork', {
          name: step.network,
          ipv6: step.network === 'b',
          internal: step.network === 'c',
          // The one that others are led out for.
          driver: step.network === 'd' ? 'overlay' : 'bridge',
        });
      case 'deleteNetwork':
        return this.#send('DeleteNetwork', { network: step.network });
      case 'createEndpoint':
        return this.#send('CreateEndpoint', { network: step.network, name: step.endpoint });
      case 'deleteEndpoint':
        return this.#send('DeleteEndpoint', { network: step.network, endpoint: step.endpoint });
      case 'join':
        return this.#send('JoinEndpoint', { network: step.network, endpoint: step.endpoint, sandbox: step.sandbox });
      case 'leave':
        return this.#send('LeaveEndpoint', { network: step.network, endpoint: step.endpoint });
      case 'attach':
        return this.#send('AttachSandbox', {
          sandbox: step.sandbox,
          networks: step.networks.map((name) => ({ network: name })),
          ports: portRequests(step.ports),
        });
      case 'move': {
        const to = { network: step.to, ports: portRequests(step.ports) };
        return this.#send('MoveSandbox', { sandbox: step.sandbox, from: step.from, to });
      }
      case 'update':
        return this.#send('UpdateEndpoint', {
          network: step.network,
          endpoint: step.endpoint,
          ports: portRequests(step.ports),
          gatewayPriority: step.gatewayPriority,
          disrupt: true,
        });
      case 'updateNetwork':
        return this.#send('UpdateNetwork', {
          network: step.network,
          options: {
            'com.docker.network.driver.mtu': String(step.mtu),
            'com.docker.network.bridge.enable_icc': String(step.mtu !== 1401),
          },
        });
      case 'listen': {
        const at = { protocol: 'tcp', address: '0.0.0.0', holder: 'pid 7 (nginx)' };
        // One a port, so that it can be taken away again.
        this.#machine.removeListener(step.port);
        return this.#machine.addListener({ ...at, port: step.port });
      }
      case 'hush':
        return this.#machine.removeListener(step.port);
      case 'detach':
        return this.#send('DetachSandbox', { sandbox: step.sandbox });
      case 'fail':
        this.#machine.fail({
          when: ({ op, object }) => op === step.op && object.kind === step.kind,
          undoFaults: step.undo ? ['not undone'] : [],
          once: true,
        });
        return;
      case 'hang':
        this.#release();
        this.#release = this.#machine.hang();
        return;
      case 'release':
        this.#release();
        return turns(10);
      case 'expire': {
        const sent = this.#sent[step.which % Math.max(1, this.#sent.length)];
        if (sent) this.#system.send('ExpireCommand', { actor: 'tester', commandId: sent.id });
        return;
      }
      case 'kill':
        return this.#kill(step.calls, step.lose);
      case 'takeOver': {
        this.#release();
        const before = this.#system.worker;
        await this.#begin();
        await before?.stop();
        return;
      }
      case 'trouble':
        return this.#streams.log.injectNext(step.with as 'lost');
      case 'wait':
        return turns(30);
      default:
        return step satisfies never;
    }
  }

  /** What could not be removed while the kernel failed is removed when it is asked again. */
  async #unstick(): Promise<void> {
    const state = await this.#system.quiet(20_000);
    for (const { facts, status } of state.endpoints.values())
      if (status === 'stuck')
        await this.#system.run('DeleteEndpoint', { network: facts.networkId, endpoint: facts.id });
    for (const { facts, status } of state.networks.values())
      if (status === 'stuck') await this.#system.run('DeleteNetwork', { network: facts.id });
  }

  async #clear(): Promise<void> {
    const { sandboxes, endpoints } = await this.#system.state();
    for (const { facts } of sandboxes.values()) await this.#system.run('DetachSandbox', { sandbox: facts.id });
    const left = (await this.#system.state()).endpoints;
    for (const { facts } of endpoints.values())
      if (left.has(facts.id))
        await this.#system.run('DeleteEndpoint', { network: facts.networkId, endpoint: facts.id });
    const { networks, shared } = await this.#system.state();
    for (const { facts } of [...networks.values(), ...shared.networks.values()])
      await this.#system.run('DeleteNetwork', { network: facts.id });
  }

  async end(): Promise<void> {
    this.#release();
    this.#machine.heal();
    for (const port of [80, 81, 32768, 32769]) this.#machine.removeListener(port);
    for (const { first } of this.#sent) await first;
    await this.#unstick();
    await this.#system.check();
    await this.#clear();
    const objects = await this.#system.check();
    assert.deepEqual(objects, []);
    const { endpoints, networks, sandboxes, expired, shared } = await this.#system.state();
    const left = [endpoints, networks, sandboxes, expired, shared.networks].map(({ size }) => size);
    assert.deepEqual(left, [0, 0, 0, 0, 0]);
    await this.#system.stop();
  }
}

describe('a worker in a random world', () => {
  it('ends every intent once, and leaves log and kernel in agreement', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60, size: 'max' }), async (actions) => {
        const play = new Play();
        await play.start();
        for (const step of actions) await play.act(step);
        await play.end();
      }),
      {
        numRuns: Number(process.env.CNM_TEST_RUNS ?? 60),
        interruptAfterTimeLimit: Number(process.env.CNM_TEST_MS ?? 60_000),
        markInterruptAsFailure: false,
      },
    );
  });
});

/** Published ports on a kernel in memory: they follow the gateway, change in place, and those that the host finds are facts before they are used. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Element, KernelObject } from '../../drivers/objects.ts';
import type { PortBinding } from '../../events/events.ts';
import { workerActor } from '../../events/names.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { mortal } from '../support/mortal.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, type Streams, System } from '../support/system.ts';

describe('a worker and ports', () => {
  let machine = new MemoryMachine();
  let streams: Streams;
  let system: System;
  const kernel = () => memoryKernel(machine, { realm, host });
  const of = <K extends KernelObject['kind']>(kind: K) =>
    machine.objects().filter((object): object is Extract<KernelObject, { kind: K }> => object.kind === kind);
  const isPort = ({ set }: Element): boolean => set.startsWith('dnat');
  /** `127.0.0.1 tcp 80 > 10.1.0.2 8080` for each element, sorted. */
  const ports = (): readonly string[] =>
    of('element')
      .filter(isPort)
      .map(({ key, data }) => `${key.join(' ')} > ${data.join(' ')}`)
      .sort();
  const join = (network: string, sandbox = 'box') => system.run('JoinEndpoint', { network, endpoint: 'e', sandbox });

  /** What the last report of this type says of ports. */
  const reported = async (type: 'EndpointJoined' | 'EndpointUpdated') => {
    const last = (await system.events()).findLast((event) => event.type === type);
    return last && 'ports' in last.data ? (last.data.ports as readonly PortBinding[]) : [];
  };

  beforeEach(async () => {
    machine = new MemoryMachine();
    streams = memoryStreams();
    system = await new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' }).start();
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      const subnets = [{ subnet: `10.${index + 1}.0.0/24` }];
      await system.run('CreateNetwork', { name, internal: name === 'c', ipam: { subnets } });
    }
  });
  afterEach(() => system.stop());

  it('leads them to the endpoint that carries the default route, in the plan that hands it on', async () => {
    await system.run('CreateEndpoint', { network: 'a', name: 'e', ports: [{ hostPort: 80, port: 8080 }] });
    await system.run('CreateEndpoint', { network: 'b', name: 'e', ports: [{ hostPort: 81, port: 8081 }] });
    await join('a');
    assert.deepEqual(await reported('EndpointJoined'), [
      { protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 80, address: '10.1.0.2', port: 8080, count: 1 },
    ]);
    await join('b');
    assert.deepEqual(ports(), ['127.0.0.1 tcp 80 > 10.1.0.2 8080', '127.0.0.1 tcp 81 > 10.1.0.2 8081']);
    const from = machine.log.length;
    await system.run('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    assert.deepEqual(ports(), ['127.0.0.1 tcp 81 > 10.2.0.2 8081'], 'ports of an endpoint go with it');
    assert.ok(machine.log.slice(from).some((line) => line === 'update element dnat4ip 127.0.0.1 . tcp . 81'));
    await join('a');
    assert.deepEqual(ports(), ['127.0.0.1 tcp 80 > 10.2.0.2 8080', '127.0.0.1 tcp 81 > 10.2.0.2 8081']);
    await system.run('DetachSandbox', { sandbox: 'box' });
    assert.deepEqual(ports(), []);
    await system.check();
  });

  it('keeps those of a sandbox while it is in any network, and hands them to whoever has a higher priority', async () => {
    await system.run('CreateEndpoint', { network: 'b', name: 'e', gatewayPriority: 5 });
    await system.run('AttachSandbox', {
      sandbox: 'box',
      networks: [{ network: 'a' }],
      ports: [{ hostPort: 53, port: 53, portEnd: 54, protocol: 'udp', hostAddress: '0.0.0.0' }],
    });
    assert.equal((await reported('EndpointJoined')).length, 1);
    assert.deepEqual(ports(), ['udp 53 > 10.1.0.2 53', 'udp 54 > 10.1.0.2 54']);
    await join('b');
    assert.equal((await reported('EndpointJoined'))[0]?.address, '10.2.0.2');
    assert.deepEqual(ports(), ['udp 53 > 10.2.0.2 53', 'udp 54 > 10.2.0.2 54']);
    await system.run('LeaveEndpoint', { network: 'b', endpoint: 'e' });
    assert.deepEqual(ports(), ['udp 53 > 10.1.0.2 53', 'udp 54 > 10.1.0.2 54']);
    await system.check();
  });

  it('gives them back when the join of the next gateway fails', async () => {
    await system.run('CreateEndpoint', { network: 'b', name: 'e', gatewayPriority: 5 });
    const networks = [{ network: 'a', ports: [{ hostPort: 80, port: 80 }] }];
    await system.run('AttachSandbox', { sandbox: 'box', networks });
    const before = machine.objects();
    machine.fail({ when: ({ op, object }) => op === 'update' && object.kind === 'element', once: true });
    const failed = await system.outcomeOf('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    assert.equal(failed.status, 'failed');
    assert.deepEqual(machine.objects(), before);
    await system.check();
    await join('b');
    assert.deepEqual(ports(), ['127.0.0.1 tcp 80 > 10.2.0.2 80']);
  });

  it('changes ports and gateway in place, and nothing else', async () => {
    const networks = [{ network: 'a', ports: [{ hostPort: 80, port: 80 }] }, { network: 'b' }];
    await system.run('AttachSandbox', { sandbox: 'box', networks });
    const from = machine.log.length;
    const more = {
      ports: [
        { hostPort: 80, port: 80 },
        { hostPort: 443, port: 443 },
      ],
    };
    const updated = await system.run('UpdateEndpoint', { network: 'a', endpoint: 'box', ...more });
    assert.equal(updated.status, 'succeeded');
    assert.deepEqual(machine.log.slice(from), ['create element dnat4ip 127.0.0.1 . tcp . 443']);
    assert.equal((await reported('EndpointUpdated')).length, 2);
    const moved = { gatewayPriority: 1, disrupt: true };
    await system.run('UpdateEndpoint', { network: 'b', endpoint: 'box', ...moved });
    assert.deepEqual(ports(), ['127.0.0.1 tcp 443 > 10.2.0.2 443', '127.0.0.1 tcp 80 > 10.2.0.2 80']);
    assert.deepEqual(
      of('route').map(({ device }) => device),
      ['eth1'],
    );
    await system.run('UpdateEndpoint', { network: 'a', endpoint: 'box', ports: [] });
    assert.deepEqual(ports(), []);
    await system.check();
  });

  it('takes an update back that fails, and goes on with the one behind it', async () => {
    const at = (hostPort: number) => ({ hostPort, port: 80 });
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a', ports: [at(80)] }] });
    machine.addListener({ protocol: 'tcp', address: '0.0.0.0', port: 81, holder: 'pid 7 (nginx)' });
    const release = machine.hang();
    const failing = system.send('UpdateEndpoint', { network: 'a', endpoint: 'box', ports: [at(80), at(81)] });
    const next = system.send('UpdateEndpoint', { network: 'a', endpoint: 'box', ports: [at(82)] });
    assert.equal((await next.first).kind, 'accepted');
    release();
    const failed = await failing.outcome;
    assert.equal(failed.fault?.code, 'PORT_IN_USE');
    assert.match(failed.fault?.text ?? '', /pid 7 \(nginx\)/);
    assert.equal((await next.outcome).status, 'succeeded');
    assert.deepEqual(ports(), ['127.0.0.1 tcp 82 > 10.1.0.2 80']);
    await system.check();
    assert.equal(
      await system.refusal('UpdateEndpoint', { network: 'a', endpoint: 'nobody', ports: [] }),
      'ENDPOINT_NOT_FOUND',
    );
  });

  it('brings an update into the sandbox of an endpoint only when that is in it', async () => {
    await system.run('CreateEndpoint', { network: 'a', name: 'e' });
    await system.run('UpdateEndpoint', { network: 'a', endpoint: 'e', ports: [{ hostPort: 80, port: 80 }] });
    assert.deepEqual(ports(), []);
    await join('a');
    assert.deepEqual(ports(), ['127.0.0.1 tcp 80 > 10.1.0.2 80']);
    await system.check();
  });

  it('makes lost ones again, and removes those of nobody', async () => {
    const networks = [{ network: 'a', ports: [{ hostPort: 80, port: 80, portEnd: 84 }] }];
    await system.run('AttachSandbox', { sandbox: 'box', networks });
    const before = ports();
    assert.equal(before.length, 5);
    await system.stopWorker();
    const [one, other] = of('element').filter(isPort);
    assert.ok(one && other);
    machine.tamper(`element ${one.set} ${one.key.join(' . ')}`, null);
    const tag = { ...other.tag, id: 'gone' };
    machine.tamper('element dnat4 tcp . 99', { ...other, set: 'dnat4', key: ['tcp', '99'], tag });
    await system.startWorker();
    assert.deepEqual(ports(), before);
    await system.check();
  });

  describe('that the host chooses', () => {
    const leases = async () => (await system.events()).filter(({ type }) => type === 'PortsLeased');
    const attach = (sandbox: string, ...wanted: readonly { hostPort?: number; hostPortEnd?: number; port: number }[]) =>
      system.send('AttachSandbox', { sandbox, networks: [{ network: 'a', ports: [...wanted] }] });

    it('are facts before they are used', async () => {
      machine.addListener({ protocol: 'tcp', address: '0.0.0.0', port: 32768, holder: 'pid 7 (nginx)' });
      await attach('box', { port: 80 }, { port: 81 }).outcome;
      assert.deepEqual(
        (await reported('EndpointJoined')).map(({ hostPort, port }) => `${hostPort} ${port}`),
        ['32769 80', '32770 81'],
      );
      const types = (await system.events()).map(({ type }) => type);
      assert.ok(types.indexOf('PortsLeased') < types.indexOf('EndpointJoined'));
      const [lease] = await leases();
      assert.equal(lease?.meta.actor, workerActor(host));
      await system.check();
    });

    it('are different ones for all who ask at once, of endpoints, of sandboxes, and out of a range', async () => {
      const range = { hostPort: 9_000, hostPortEnd: 9_002 };
      const sent = [
        ...Array.from({ length: 20 }, (_, index) => attach(`box${index}`, { port: 80 }, { port: 81 })),
        ...Array.from({ length: 3 }, (_, index) => attach(`range${index}`, { ...range, port: 80 })),
        system.send('AttachSandbox', { sandbox: 'own', networks: [{ network: 'b' }], ports: [{ port: 80 }] }),
      ];
      for (const { outcome } of sent) assert.equal((await outcome).status, 'succeeded');
      const numbers = ports().map((text) => text.split(' ')[2]);
      assert.equal(numbers.length, 44);
      assert.equal(new Set(numbers).size, 44);
      const none = await attach('range3', { ...range, port: 80 }).outcome;
      assert.equal(none.fault?.code, 'PORT_IN_USE');
      assert.equal(none.fault?.retryable, true);
      await system.check();
    });

    it('are looked for again when somebody else has them leased by then', async () => {
      // The worker finds the first free port, and somebody names just that one before it can ask.
      const finding = kernel();
      let stolen = 0;
      const robbed = {
        ...finding,
        findPorts: async (...args: Parameters<typeof finding.findPorts>) => {
          const found = await finding.findPorts(...args);
          if (stolen < 2) {
            const [port] = found;
            await system.run('CreateEndpoint', {
              network: 'b',
              name: `thief${stolen++}`,
              ports: [{ hostPort: port ?? 0, port: 80 }],
            });
          }
          return found;
        },
      };
      await system.stopWorker();
      await system.startWorker({ kernel: robbed });
      await attach('box', { port: 80 }).outcome;
      assert.equal((await reported('EndpointJoined'))[0]?.hostPort, 32770);
      const refused = (await system.events()).filter(
        ({ type, data }) => type === 'CommandRefused' && data.code === 'PORT_IN_USE',
      );
      assert.equal(refused.length, 2);
      assert.equal(new Set(refused.map(({ meta }) => meta.commandid)).size, 2);
      await system.check();
    });

    it('fail after a few attempts, with nothing left', async () => {
      const before = machine.objects();
      const finding = kernel();
      let thieves = 0;
      const robbed = {
        ...finding,
        findPorts: async (...args: Parameters<typeof finding.findPorts>) => {
          const found = await finding.findPorts(...args);
          const name = `thief${thieves++}`;
          await system.run('CreateEndpoint', { network: 'b', name, ports: [{ hostPort: found[0] ?? 0, port: 80 }] });
          return found;
        },
      };
      await system.stopWorker();
      await system.startWorker({ kernel: robbed });
      const outcome = await attach('box', { port: 80 }).outcome;
      assert.equal(outcome.fault?.code, 'PORT_IN_USE');
      assert.deepEqual(machine.objects(), before);
      assert.equal((await system.check()).length, before.length);
    });

    it('fail when a foreign process has taken one meanwhile, and may be asked for again', async () => {
      machine.fail({
        when: ({ op, object }) => op === 'create' && object.kind === 'element' && object.set === 'dnat4ip',
        fault: { code: 'PORT_IN_USE', errno: '', text: 'tcp 0.0.0.0:32768 is held by pid 7 (nginx)' },
        once: true,
      });
      const outcome = await attach('box', { port: 80 }).outcome;
      assert.deepEqual([outcome.fault?.code, outcome.fault?.retryable], ['PORT_IN_USE', true]);
      await system.check();
      assert.equal((await attach('box', { port: 80 }).outcome).status, 'succeeded');
    });

    it('hold up nobody else', async () => {
      const finding = kernel();
      const gate = Promise.withResolvers<void>();
      const slow = {
        ...finding,
        findPorts: async (...args: Parameters<typeof finding.findPorts>) => {
          await gate.promise;
          return finding.findPorts(...args);
        },
      };
      await system.stopWorker();
      await system.startWorker({ kernel: slow });
      const waiting = attach('box', { port: 80 });
      const behind = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
      await waiting.first;
      assert.equal((await behind.first).kind, 'refused');
      await system.run('AttachSandbox', { sandbox: 'other', networks: [{ network: 'a' }] });
      assert.equal((await leases()).length, 0);
      gate.resolve();
      assert.equal((await waiting.outcome).status, 'succeeded');
      await system.check();
    });

    it('are taken back with the rest when the deadline passes while they are looked for', async () => {
      const before = machine.objects();
      const finding = kernel();
      const gate = Promise.withResolvers<void>();
      const slow = {
        ...finding,
        findPorts: async (...args: Parameters<typeof finding.findPorts>) => {
          await gate.promise;
          return finding.findPorts(...args);
        },
      };
      await system.stopWorker();
      await system.startWorker({ kernel: slow });
      const networks = [{ network: 'a', ports: [{ port: 80 }] }];
      const sent = system.send('AttachSandbox', { sandbox: 'box', networks }, { deadlineMs: 1 });
      await sent.first;
      await system.expire(sent);
      await system.check();
      gate.resolve();
      assert.deepEqual(machine.objects(), before);
      assert.equal((await leases()).length, 0);
    });

    it('are found whenever the worker dies', async () => {
      let calls = 0;
      for (let fatal = 0; ; fatal++) {
        calls = 0;
        await system.stopWorker();
        const doomed = mortal({ log: streams.log, kernel: kernel() }, (_, kill) => {
          if (calls++ === fatal) kill();
        });
        void system.startWorker(doomed).catch(() => undefined);
        const sent = attach(`box${fatal}`, { port: 80 }, { port: 81 });
        await sent.first;
        await waitFor(async () => doomed.dead || (await system.state()).intents.size === 0, { what: 'an end' });
        if (!doomed.dead) break;
        await system.startWorker();
        assert.equal((await sent.outcome).status, 'succeeded', `killed at call ${fatal}`);
        await system.check();
        await system.run('DetachSandbox', { sandbox: `box${fatal}` });
      }
      assert.ok(calls > 5, `${calls} calls were tried`);
      assert.equal(ports().length, 2);
    });
  });
});

/** Random commands, failures, deaths and losses on Linux: whatever happens, log and kernel agree afterwards, and nothing is left at the end. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import { breakable } from '../contract/driver.suite.ts';
import { clearAway } from '../support/linux-lab.ts';
import { type Mortal, mortal } from '../support/mortal.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

const network = fc.constantFrom('a', 'b', 'c');
const endpoint = fc.constantFrom('e', 'f');
const sandbox = fc.constantFrom('one', 'two');

const action = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('createNetwork' as const), network }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deleteNetwork' as const), network }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('createEndpoint' as const), network, endpoint }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('join' as const), network, endpoint, sandbox }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('leave' as const), network, endpoint }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('attach' as const),
      networks: fc.uniqueArray(network, { minLength: 1 }),
      sandbox,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('detach' as const), sandbox }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('break' as const),
      after: fc.nat(5),
      often: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lose' as const), which: fc.nat(), how: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

if (inOwnNamespaces(import.meta.filename)) {
  const runDir = mkdtempSync('/run/cnm-test-');
  const netnsDir = `${runDir}/netns`;
  let kernel: Kernel;

  class Play {
    readonly #breaks = breakable(kernel);
    readonly #streams = memoryStreams();
    readonly #system = new System({ ...this.#streams, kernel, runDir });
    #life: Mortal | null = null;

    async start(): Promise<void> {
      await this.#begin();
      await this.#system.startController();
    }

    async #begin(): Promise<void> {
      this.#life = mortal({ log: this.#streams.log, kernel: this.#breaks.kernel });
      await this.#system.startWorker(this.#life);
    }

    /** The worker dies, and somebody takes something away before the next one comes. */
    async #lose(which: number, how: number): Promise<void> {
      this.#life?.kill();
      await kernel.apply([]);
      const links = ipLinks().filter(({ ifname }) => /^c[bv]/.test(ifname));
      const link = links[which % Math.max(1, links.length)]?.ifname;
      const names = readdirSync(runDir).includes('netns') ? readdirSync(netnsDir) : [];
      const name = names[which % Math.max(1, names.length)];
      // A link that waits for the reaper may be gone by now.
      if (how === 0 && link) sh(`ip link del ${link} 2>/dev/null || true`);
      if (how === 1 && link) sh(`ip link set ${link} down 2>/dev/null || true`);
      if (how === 2 && name) sh(`umount ${netnsDir}/${name}; rm ${netnsDir}/${name}`);
      if (how === 3 && name)
        sh(
          `nsenter --net=${netnsDir}/${name} sh -c 'ip addr flush dev eth0; ip route flush table main' 2>/dev/null || true`,
        );
      await this.#begin();
    }

    async act(step: Action): Promise<void> {
      switch (step.do) {
        case 'createNetwork':
          this.#system.send('CreateNetwork', {
            name: step.network,
            ipv6: step.network === 'b',
            internal: step.network === 'c',
          });
          return;
        case 'deleteNetwork':
          this.#system.send('DeleteNetwork', { network: step.network });
          return;
        case 'createEndpoint':
          this.#system.send('CreateEndpoint', { network: step.network, name: step.endpoint });
          return;
        case 'join':
          this.#system.send('JoinEndpoint', { network: step.network, endpoint: step.endpoint, sandbox: step.sandbox });
          return;
        case 'leave':
          this.#system.send('LeaveEndpoint', { network: step.network, endpoint: step.endpoint });
          return;
        case 'attach':
          this.#system.send('AttachSandbox', {
            sandbox: step.sandbox,
            networks: step.networks.map((name) => ({ network: name })),
          });
          return;
        case 'detach':
          this.#system.send('DetachSandbox', { sandbox: step.sandbox });
          return;
        case 'break':
          this.#breaks.breakAfter(step.after, step.often);
          return;
        case 'lose':
          return this.#lose(step.which, step.how);
        case 'wait':
          await this.#system.send('DetachSandbox', { sandbox: 'nobody' }).first;
          return;
        default:
          return step satisfies never;
      }
    }

    async end(): Promise<void> {
      this.#breaks.heal();
      await this.#system.send('DetachSandbox', { sandbox: 'nobody' }).first;
      const { endpoints, networks } = await this.#system.quiet();
      for (const { facts, status } of endpoints.values())
        if (status === 'stuck')
          await this.#system.run('DeleteEndpoint', { network: facts.networkId, endpoint: facts.id });
      for (const { facts, status } of networks.values())
        if (status === 'stuck') await this.#system.run('DeleteNetwork', { network: facts.id });
      await this.#system.check();
      const now = await this.#system.state();
      for (const { facts } of now.sandboxes.values()) await this.#system.run('DetachSandbox', { sandbox: facts.id });
      for (const { facts } of (await this.#system.state()).endpoints.values())
        await this.#system.run('DeleteEndpoint', { network: facts.networkId, endpoint: facts.id });
      for (const { facts } of now.networks.values()) await this.#system.run('DeleteNetwork', { network: facts.id });
      await this.#system.check();
      await waitFor(() => ipLinks().length === 1, { what: 'all interfaces to be gone' });
      assert.deepEqual(readdirSync(runDir).includes('netns') ? readdirSync(netnsDir) : [], []);
      await this.#system.stop();
    }
  }

  describe('a worker in a random world on Linux', () => {
    before(async () => {
      kernel = await linuxKernel({ realm, host, runDir });
    });
    after(async () => {
      await clearAway(kernel, { realm, host, runDir });
    });

    it('leaves log and kernel in agreement', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 40, size: 'max' }), async (actions) => {
          const play = new Play();
          await play.start();
          for (const step of actions) await play.act(step);
          await play.end();
        }),
        {
          numRuns: Number(process.env.CNM_TEST_RUNS ?? 15),
          interruptAfterTimeLimit: Number(process.env.CNM_TEST_MS ?? 40_000),
          markInterruptAsFailure: false,
          // What a failed run leaves behind would be in the way of smaller ones.
          endOnFailure: true,
        },
      );
    });
  });
}

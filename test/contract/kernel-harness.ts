/** What the suites of the kernel contract stand on: a machine for each test, and a few words about it. */
import assert from 'node:assert/strict';
import { after, beforeEach } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel, KernelFault, Peer, Plan } from '../../drivers/port.ts';
import { byKey } from '../support/kernel-objects.ts';

/** A machine with one kernel on it. */
export interface KernelHarness {
  readonly kernel: Kernel;
  /** A path for a namespace or a file of ours. */
  path(name: string): string;
  /** The process ends and another one starts on the same machine. */
  restart(): Promise<void>;
  /** Somebody else's bridge. */
  addForeignBridge(name: string): Promise<void>;
  foreignBridges(): Promise<readonly string[]>;
  /** An interface of the host, of somebody else's, that others can stand on. */
  addLink(name: string): Promise<void>;
  /** Names of the interfaces in a namespace, loopback apart; null: of those of the host that are somebody else's. */
  linksIn(netns: string | null): Promise<readonly string[]>;
  /** Whether the kernel has links of a kind. */
  has(kind: 'ipvlan' | 'vlan'): Promise<boolean>;
  /** A namespace that somebody else made; answers its path. */
  bringNamespace(name: string): Promise<string>;
  hasNamespace(path: string): Promise<boolean>;
  /** What a file says; null when there is none. */
  readFile(path: string): Promise<string | null>;
  /** The user of a file changes it. */
  editFile(path: string, content: string): Promise<void>;
  /** A process of the host begins to listen for TCP at 127.0.0.1; answers its port. */
  listen(): Promise<number>;
  /** What a tunnel leads to, in the order of MACs; half of an entry is none. */
  peersOf(tunnel: string): Promise<readonly Peer[]>;
  /** An entry of a tunnel is lost, behind everybody's back. */
  losePeer(tunnel: string, peer: Peer): Promise<void>;
  /** Somebody adds an entry to a tunnel of ours. */
  addStranger(tunnel: string, peer: Peer): Promise<void>;
  /** Whether the kernel can encrypt; without, associations cannot be added. */
  encrypts(): Promise<boolean>;
  /** Somebody removes all associations and guards: `ip xfrm state flush; ip xfrm policy flush`. */
  flushAssociations(): Promise<void>;
  /** Somebody deletes a link. */
  loseLink(name: string): Promise<void>;
  /** Removes everything. */
  close(): Promise<void>;
}

/** The machine of the test that runs. */
export interface Bench {
  use(): KernelHarness;
  kernel(): Kernel;
  /** Applies plans that succeed. */
  apply(...plans: Plan[]): Promise<void>;
  /** The fault of a plan that fails, and was undone. */
  faultOf(plan: Plan): Promise<KernelFault>;
  /** These objects are there, and no others. */
  holds(...objects: readonly KernelObject[]): Promise<void>;
}

/** To be called inside of a `describe`. */
export const setUp = (open: () => Promise<KernelHarness>): Bench => {
  let harness: KernelHarness | null = null;
  const use = (): KernelHarness => {
    assert.ok(harness);
    return harness;
  };
  const kernel = (): Kernel => use().kernel;
  beforeEach(async () => {
    await harness?.close();
    harness = await open();
  });
  after(async () => {
    await harness?.close();
  });
  return {
    use,
    kernel,
    apply: async (...plans) => {
      assert.deepEqual(
        await kernel().apply(plans),
        plans.map(() => ({ ok: true })),
      );
    },
    faultOf: async (plan) => {
      const [result] = await kernel().apply([plan]);
      assert.ok(result && !result.ok, 'the plan should fail');
      assert.deepEqual(result.fault.undoFaults, []);
      return result.fault;
    },
    holds: async (...objects) => {
      const census = await kernel().census();
      assert.deepEqual(census.unknown, []);
      assert.deepEqual(byKey(census.objects), byKey(objects));
    },
  };
};

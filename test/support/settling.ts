/** Specifications of what workers settle: a host with the plugin `weave`, and its answers. */
import assert from 'node:assert/strict';
import type { CommandInput } from '../../events/commands.ts';
import type { IntentType } from '../../events/events.ts';
import { did, type Given, givenIn, network, type Step } from './specification.ts';
import type { World } from './world.ts';

export const facts = { drivers: ['weave'] };
export const withPlugin = (...steps: readonly Step[]): Given => givenIn({ facts }, ...steps);
export const lan = network('lan', { driver: 'weave', options: { 'my.opt': '1' } });

export type Answer = CommandInput<'SettleIntent'>['answer'];

/** The open intent of a type, the last of several. */
export const intentOf = (world: World, type: IntentType): string =>
  [...world.state.intents.values()].findLast((intent) => intent.type === type)?.meta.id ?? assert.fail(`no ${type}`);

const intents = {
  network: 'NetworkCreateRequested',
  endpoint: 'EndpointCreateRequested',
  join: 'EndpointJoinRequested',
} as const;

/** What the worker of the host has learnt of the last open intent of that kind. */
export const settled =
  (answer: Answer): Step =>
  (world) => {
    world.run(
      'SettleIntent',
      { intent: intentOf(world, intents[answer.kind]), epoch: 1, answer },
      { actor: 'worker:h1' },
    );
  };

export const settling = ({ world, when }: Given, answer: Answer) =>
  when('SettleIntent', { intent: intentOf(world, intents[answer.kind]), epoch: 1, answer }, { actor: 'worker:h1' });

export const pool = (subnet: string, more: Partial<Extract<Answer, { kind: 'network' }>['subnets'][number]> = {}) => ({
  ...{ family: 4 as const, subnet, range: null, gateway: null, aux: {}, pool: `plnet/${subnet}` },
  ...more,
});
export const subnets = (...all: ReturnType<typeof pool>[]): Answer => ({ kind: 'network', subnets: all });
export const addresses = (ipv4: string | null, mac: string | null = null, ipv6: string | null = null): Answer => ({
  ...{ kind: 'endpoint', ipv4, ipv6, mac },
});
export const plug = (more: Partial<Extract<Answer, { kind: 'join' }>> = {}): Answer => ({
  ...{ kind: 'join', link: 'pc0', prefix: 'eth', gateway4: null, gateway6: null, routes: [], outlet: false },
  ...more,
});

export const attached = (...networks: readonly string[]): Step =>
  did('AttachSandbox', { sandbox: 's1', networks: networks.map((name) => ({ network: name })) });
export const ipam = (name: string, driver: string, more: Partial<CommandInput<'CreateNetwork'>['ipam']> = {}): Step =>
  network(name, { driver, ipam: { driver: 'weave', ...more } });

/** Sandboxes on overlays, for tests of the way out that they are given. */
import type { CommandInput } from '../../events/commands.ts';
import { able } from './realm-stage.ts';
import { did, givenIn, network, type Step } from './specification.ts';
import type { World } from './world.ts';

export const given = (...steps: readonly Step[]) => givenIn({ facts: able('h1') }, ...steps);

export const overlay = (name: string, subnet: string, more: Partial<CommandInput<'CreateNetwork'>> = {}): Step =>
  network(name, { driver: 'overlay', ipam: { subnets: [{ subnet }] }, ...more });
export const span = overlay('span', '10.77.0.0/24');
export const wide = overlay('wide', '10.78.0.0/24');
export const closed = overlay('closed', '10.79.0.0/24', { internal: true });
export const web = network('web');
export const attached = (sandbox: string, ...names: readonly string[]): Step =>
  did('AttachSandbox', { sandbox, networks: names.map((name) => ({ network: name })) });

export const attach = (when: ReturnType<typeof given>['when'], ...networks: readonly string[]) =>
  when('AttachSandbox', { sandbox: 'a', networks: networks.map((name) => ({ network: name })) });

export const outlets = ({ state }: World) => [...state.outlets.keys()].map((id) => state.networks.get(id)?.facts.name);
/** Networks that a sandbox is on, and which of them carries its default route. */
export const place = ({ state }: World, id = 'a') => {
  const row = state.sandboxes.get(state.sandboxIds.get(id) ?? '');
  const nameOf = (endpointId: string) => {
    const networkId = state.endpoints.get(endpointId)?.facts.networkId ?? '';
    return (state.networks.get(networkId) ?? state.shared.networks.get(networkId))?.facts.name;
  };
  return { on: row?.members.map(nameOf) ?? [], through: row?.gateways.ipv4 ? nameOf(row.gateways.ipv4) : null };
};

/** Id of the command that the first open intent is of. */
export const first = ({ state }: World) => [...state.intents.values()][0]?.meta.commandid;

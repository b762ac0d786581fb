/** Networks of driver ipvlan without a parent, so they stand on a stub. */
import { type Profile, sandboxFiles } from './profile.ts';

export const ipvlan: Profile = {
  driver: 'ipvlan',
  network: ['stub'],
  join: ['netns', 'device', 'resolver', ...sandboxFiles],
  interface: 'eth0',
  hasAddresses: true,
  hasNamespace: true,
  options: {},
  capability: 'ipvlan',
};

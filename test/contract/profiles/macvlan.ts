/** Networks of driver macvlan without a parent, so they stand on a stub. */
import { type Profile, sandboxFiles } from './profile.ts';

export const macvlan: Profile = {
  driver: 'macvlan',
  network: ['stub'],
  join: ['netns', 'device', 'resolver', ...sandboxFiles],
  interface: 'eth0',
  hasAddresses: true,
  hasNamespace: true,
  options: {},
  capability: 'macvlan',
};

/** Networks of a plugin: what it makes itself is no object of ours, but for the interface that it lends to a sandbox. */
import { type Profile, sandboxFiles } from './profile.ts';

export const remote: Profile = {
  driver: 'weave',
  network: [],
  join: ['netns', 'device', 'resolver', ...sandboxFiles],
  interface: 'eth0',
  hasAddresses: true,
  hasNamespace: true,
  options: {},
};

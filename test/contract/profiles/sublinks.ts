/** Networks of the drivers macvlan and ipvlan without a parent, so they stand on a stub: alike in all that the suite asks of them. */
import { type Profile, sandboxFiles } from './profile.ts';

const onStub = (driver: 'macvlan' | 'ipvlan'): Profile => ({
  driver,
  network: ['stub'],
  join: ['netns', 'device', 'resolver', ...sandboxFiles],
  interface: 'eth0',
  hasAddresses: true,
  hasNamespace: true,
  options: {},
  capability: driver,
});

export const sublinks: readonly Profile[] = [onStub('macvlan'), onStub('ipvlan')];

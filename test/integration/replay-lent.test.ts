/** A replay of a host whose networks were in part a plugin's: what is ours stands, the rest is named. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networksOfOthers, withoutLent } from '../../services/replay/lent.ts';
import { deploymentOf, Moment, standing } from '../../services/replay/moment.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { weaveOn } from '../support/plugins/links.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

test('replay: interfaces that a plugin lent are left out with what leads over them, and its networks are named', async () => {
  const machine = new MemoryMachine();
  const plugins = weaveOn(machine);
  const streams = memoryStreams();
  const kernel = memoryKernel(machine, { realm, host });
  const system = await new System({ ...streams, kernel, plugins, runDir: '/run/cnm' }).start();
  await system.run('CreateNetwork', { name: 'web', driver: 'weave', ipam: { subnets: [{ subnet: '10.50.0.0/24' }] } });
  await system.run('CreateNetwork', { name: 'idle', driver: 'weave' });
  await system.run('CreateNetwork', { name: 'lan' });
  await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'web' }] });
  await system.run('AttachSandbox', { sandbox: 'both', networks: [{ network: 'web' }, { network: 'lan' }] });
  await system.quiet();
  await system.stop();

  const moment = await Moment.open(streams.log, await streams.log.last());
  const state = moment.hosts().get(host) ?? assert.fail();
  const stood = standing(state, deploymentOf(realm, host, state));
  const ours = withoutLent(stood);
  const gone = stood.filter((object) => !ours.includes(object));
  const sayings = gone.map((object) =>
    object.kind === 'device' || object.kind === 'route' ? `${object.kind} in ${object.netns}` : object.kind,
  );
  assert.deepEqual(sayings.toSorted(), [
    'device in /run/cnm/netns/both',
    'device in /run/cnm/netns/box',
    'route in /run/cnm/netns/both',
    'route in /run/cnm/netns/box',
  ]);
  assert.deepEqual(
    ours.flatMap((object) =>
      object.kind === 'veth' || object.kind === 'route' ? [`${object.kind} in ${object.netns}`] : [],
    ),
    ['veth in /run/cnm/netns/both'],
  );
  assert.deepEqual(networksOfOthers(state), [
    'network web of driver weave, which is not here (box, both)',
    'network idle of driver weave, which is not here',
  ]);
});

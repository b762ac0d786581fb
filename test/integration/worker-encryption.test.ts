/** An encrypted network as a worker carries it out: what its packets are encrypted with is there before a join is reported, and goes with it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { associationOf, type Side } from '../../services/worker/tunnel-keys.ts';
import { sharedSecret } from '../support/encrypted-hosts.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';
import { hostFacts, Reporter } from '../support/world.ts';

const underlay = (last: number) => ({ address: `192.0.2.${last}`, device: 'up0', mtu: 1500 });
const far: Side = { host: 'h2', address: '192.0.2.2', bootId: 'boot', epoch: 1 };

describe('a worker with encrypted networks', () => {
  let system: System;
  let machine: MemoryMachine;
  let other: Reporter;

  beforeEach(async () => {
    machine = new MemoryMachine();
    machine.facts = { ...machine.facts, underlay: underlay(1) };
    const kernel = memoryKernel(machine, { realm, host });
    system = new System({ ...memoryStreams(), kernel, runDir: '/run/cnm', secret: sharedSecret, addressee: host });
    await system.start();
    other = new Reporter(system.options.log, systemClock, 'h2');
    other.facts = {
      underlay: underlay(2),
      capabilities: { ...hostFacts('h2').capabilities, vxlan: true, esp: true },
    };
    await other.start();
    await system.run('CreateNetwork', { name: 'web', driver: 'overlay', options: { encrypted: '' } });
  });
  afterEach(async () => {
    await other.stop();
    await system.stop();
  });

  const own = async (): Promise<Side> => {
    const facts = (await system.state()).facts.get('host');
    return { host, address: '192.0.2.1', bootId: facts?.bootId ?? '', epoch: facts?.epoch ?? 0 };
  };
  const wanted = async (generation: number) => {
    const opened = (await system.events()).find(({ type }) => type === 'RealmOpened');
    assert.ok(opened?.type === 'RealmOpened');
    const [here, keys] = [await own(), { realm, log: opened.data.epoch, generation }];
    return [associationOf(sharedSecret, keys, far, here), associationOf(sharedSecret, keys, here, far)];
  };
  const attach = () => system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'web' }] });
  const keys = () => machine.associations.found.present.map((each) => machine.associations.keyOf(each));
  const isEmpty = (): boolean => keys().length === 0 && !machine.associations.guarded;

  it('has keys for the other host when it reports, renews them by command, and keeps none when it leaves', async () => {
    assert.equal(isEmpty(), true);
    await attach();
    const [inbound, outbound] = await wanted(0);
    assert.deepEqual(keys(), [inbound?.key, outbound?.key]);
    assert.equal(machine.associations.guarded, true);
    await system.run('RotateTunnelKeys', {});
    const [next] = await wanted(1);
    await waitFor(() => keys().length === 3, { what: 'the next generation' });
    assert.deepEqual(keys(), [inbound?.key, outbound?.key, next?.key]);
    await system.run('DetachSandbox', { sandbox: 'box' });
    await waitFor(isEmpty, { what: 'nothing to be left' });
  });

  it('takes new keys, in a new epoch, where those of before are spent', async () => {
    await attach();
    const before = keys();
    await system.run('DetachSandbox', { sandbox: 'box' });
    await waitFor(isEmpty, { what: 'nothing to be left' });
    const { epoch } = await own();
    await attach();
    await waitFor(() => keys().length === 2, { what: 'new keys' });
    assert.equal((await own()).epoch, epoch + 1);
    assert.deepEqual(
      keys(),
      (await wanted(0)).map(({ key }) => key),
    );
    assert.ok(keys().every((key) => !before.includes(key)));
  });

  it('follows hosts that come, and leaves out those that cannot', async () => {
    await attach();
    const plain = new Reporter(system.options.log, systemClock, 'h3');
    plain.facts = { underlay: underlay(3), capabilities: { ...other.facts.capabilities, esp: false } };
    await plain.start();
    const third = new Reporter(system.options.log, systemClock, 'h4');
    third.facts = { ...other.facts, underlay: underlay(4) };
    await third.start();
    await waitFor(() => keys().length === 4, { what: 'keys for the third host' });
    const ends = machine.associations.found.present.flatMap(({ source, destination }) => [source, destination]);
    assert.deepEqual([...new Set(ends)].sort(), ['192.0.2.1', '192.0.2.2', '192.0.2.4']);
    await plain.stop();
    await third.stop();
  });

  it('never puts a key on the log', async () => {
    await attach();
    await system.run('RotateTunnelKeys', {});
    await waitFor(() => keys().length === 3, { what: 'the next generation' });
    const said = JSON.stringify(await system.events());
    for (const key of keys()) assert.ok(key !== undefined && !said.includes(key) && !said.includes(key.slice(0, 16)));
    assert.ok(!said.includes(Buffer.from(sharedSecret).toString('hex')));
  });
});

it('without the secret a worker says that it cannot encrypt, and a network that has to be is refused', async () => {
  const machine = new MemoryMachine();
  machine.facts = { ...machine.facts, underlay: underlay(1) };
  const system = new System({ ...memoryStreams(), kernel: memoryKernel(machine, { realm, host }), runDir: '/run/cnm' });
  await system.start();
  assert.equal(machine.facts.capabilities.esp, true);
  assert.equal((await system.state()).facts.get('host')?.capabilities.esp, false);
  const sent = await system.send('CreateNetwork', { name: 'web', driver: 'overlay', options: { encrypted: '' } });
  const answer = await sent.first;
  assert.ok(answer.kind === 'refused');
  assert.equal(answer.code, 'CAPABILITY_MISSING');
  await system.stop();
});

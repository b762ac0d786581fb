/** Which units a worker can execute now, which have to wait, and what it costs to know that. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Event } from '../../events/envelope.ts';
import { Backlog } from '../../services/worker/backlog.ts';
import type { Unit } from '../../services/worker/units.ts';
import { World } from '../support/world.ts';

/** Types of the intents of each unit. */
const shape = (units: readonly Unit[]): readonly string[] =>
  units.map(({ intents }) => intents.map(({ type }) => type.replace(/Requested$/, '')).join(' '));

/** A world whose log a backlog follows. */
class Busy extends World {
  readonly backlog = new Backlog(this.state);
  #noted = 0;

  take(isReady: (unit: Unit) => boolean = () => true): readonly Unit[] {
    for (const event of this.log.slice(this.#noted)) this.backlog.note(event);
    this.#noted = this.log.length;
    return this.backlog.take(isReady);
  }

  finish(units: readonly Unit[]): void {
    for (const { intents } of units) for (const intent of intents) this.succeedOne(intent);
  }
}

const withNetworks = (...names: string[]): Busy => {
  const world = new Busy();
  for (const name of names) world.run('CreateNetwork', { name });
  world.succeed();
  return world;
};

describe('an open intent', () => {
  it('says what it waits for: its turn, earlier ones, somebody who is asked, the kernel', () => {
    const world = withNetworks('a');
    world.run('CreateEndpoint', { network: 'a', name: 'e' });
    world.run('DeleteEndpoint', { network: 'a', endpoint: 'e' });
    const [create, remove] = [...world.state.intents.keys()];
    const stages = () => [create, remove].map((id) => world.backlog.stageOf(id ?? ''));
    assert.deepEqual(stages(), ['its turn', 'its turn']);
    world.take(() => false);
    const behind = 'earlier commands about the same things';
    assert.deepEqual(stages(), ['what a plugin or the controller is asked for it', behind]);
    world.backlog.touch(create ?? '');
    assert.equal(world.take().length, 1);
    assert.deepEqual(stages(), ['the kernel, a plugin that is told, or its report', behind]);
  });
});

describe('a batch', () => {
  it('holds what does not touch', () => {
    const world = withNetworks('a');
    for (const sandbox of ['one', 'two', 'three'])
      world.run('AttachSandbox', { sandbox, networks: [{ network: 'a' }] });
    assert.equal(world.take().length, 3);
  });

  it('leaves out what stands on something in it, and goes on behind that', () => {
    const world = withNetworks('a');
    world.run('CreateNetwork', { name: 'b' });
    world.run('CreateEndpoint', { network: 'b', name: 'e' });
    world.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    world.run('CreateEndpoint', { network: 'a', name: 'e' });
    assert.deepEqual(shape(world.take()), ['NetworkCreate', 'EndpointCreate']);
  });

  it('leaves out what touches something under way, until that is folded in', () => {
    const world = withNetworks('a');
    world.run('CreateEndpoint', { network: 'a', name: 'e' });
    const first = world.take();
    world.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(shape(world.take()), []);
    const [create] = first[0]?.intents ?? [];
    if (create) world.succeedOne(create);
    assert.deepEqual(shape(world.take()), ['EndpointJoin']);
  });

  it('takes one of those that touch the same sandbox, or a namespace at the same path', () => {
    const world = withNetworks('a', 'b');
    for (const network of ['a', 'b']) world.run('CreateEndpoint', { network, name: 'e' });
    world.succeed();
    for (const network of ['a', 'b']) world.run('JoinEndpoint', { network, endpoint: 'e', sandbox: 'box' });
    assert.equal(world.take().length, 1);
    world.succeed();
    world.run('DetachSandbox', { sandbox: 'box' });
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a', name: 'f' }] });
    assert.deepEqual(shape(world.take()), ['EndpointLeave EndpointLeave']);
  });

  it('keeps a network until everything that was on it has ended', () => {
    const world = withNetworks('a');
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    world.succeed();
    world.run('DetachSandbox', { sandbox: 'box' });
    world.run('DeleteNetwork', { network: 'a' });
    const first = world.take();
    assert.deepEqual(shape(first), ['EndpointLeave EndpointDelete']);
    assert.deepEqual(shape(world.take()), []);
  });

  it('takes sandboxes of the host’s own namespace side by side', () => {
    const world = new Busy();
    world.run('CreateNetwork', { name: 'h', driver: 'host' });
    world.succeed();
    for (const sandbox of ['one', 'two']) world.run('AttachSandbox', { sandbox, networks: [{ network: 'h' }] });
    assert.equal(world.take().length, 2);
  });

  it('has an end', () => {
    const world = withNetworks('a');
    for (let at = 0; at < 100; at++) world.run('CreateEndpoint', { network: 'a', name: `e${at}` });
    const [first, second] = [world.take(), world.take()];
    assert.deepEqual([first.length, second.length], [16, 16]);
    assert.equal(new Set([...first, ...second].map(({ id }) => id)).size, 32);
  });
});

describe('a unit that waits for somebody else', () => {
  it('is asked once, and again when it is touched', () => {
    const world = withNetworks('a');
    const [intent] = world.run('CreateEndpoint', { network: 'a', name: 'e' });
    const asked: string[] = [];
    let isReady = false;
    const take = () => world.take(({ id }) => asked.push(id) > 0 && isReady).length;
    assert.deepEqual([take(), take(), asked.length], [0, 0, 1]);
    isReady = true;
    assert.deepEqual([take(), asked.length], [0, 1]);
    world.backlog.touch(intent?.meta.id ?? '');
    assert.deepEqual([take(), take(), asked.length], [1, 0, 2]);
  });

  it('is asked again when its deadline has passed', () => {
    const world = withNetworks('a');
    const id = 'mhx3k2p1-late';
    world.run('CreateEndpoint', { network: 'a', name: 'e' }, { id, deadlineMs: 1 });
    world.take(() => false);
    world.nowMs += 2;
    world.run('ExpireCommand', { actor: 'alice', commandId: id });
    assert.deepEqual(
      world.take().map(({ expired }) => expired),
      [true],
    );
  });

  it('is taken again when it was done too late, and is to be undone', () => {
    const world = withNetworks('a');
    const id = 'mhx3k2p1-late';
    world.run('CreateEndpoint', { network: 'a', name: 'e' }, { id, deadlineMs: 1 });
    const first = world.take();
    world.nowMs += 2;
    world.run('ExpireCommand', { actor: 'alice', commandId: id });
    assert.equal(world.take().length, 0);
    world.finish(first);
    assert.deepEqual(
      world.take().map(({ expired }) => expired),
      [true],
    );
  });

  it('hides nobody, and costs nothing while nothing happens to it: only what is new is looked at', () => {
    const world = withNetworks('a', 'b');
    const apart = world.network('a').facts.id;
    const waits = ({ type, data }: Event) => type === 'EndpointCreateRequested' && data.endpoint.networkId === apart;
    for (let at = 0; at < 250; at++) world.run('CreateEndpoint', { network: 'a', name: `e${at}` });
    const { intents } = world.state;
    let looked = 0;
    const [get, values] = [intents.get.bind(intents), intents.values.bind(intents)];
    intents.get = (id) => {
      looked += 1;
      return get(id);
    };
    intents.values = () => {
      looked += intents.size;
      return values();
    };
    /** Of one look: how many units it finds, and how many open intents it has read. */
    const take = (): readonly [found: number, looked: number] => {
      looked = 0;
      const { length } = world.take((unit) => !unit.intents.some(waits));
      return [length, looked];
    };
    const [found, whole] = take();
    assert.equal(found, 0);
    assert.ok(whole >= 250);
    assert.deepEqual(take(), [0, 0]);
    world.run('CreateEndpoint', { network: 'b', name: 'e' });
    const [, one] = take();
    assert.ok(one > 0 && one <= 4, `${one} for one that is new`);
    // The network that all of them stand on.
    world.run('UpdateNetwork', { network: 'a', labels: { of: 'mine' } });
    const [none, update] = take();
    assert.equal(none, 0);
    assert.ok(update <= 4, `${update} for one that has to wait`);
  });
});

describe('a unit whose sandbox was not known when it came', () => {
  it('waits for who is at work on that sandbox', () => {
    const world = withNetworks('a', 'b', 'c');
    for (const network of ['a', 'b']) world.run('CreateEndpoint', { network, name: `e${network}` });
    world.succeed();
    world.run('UpdateNetwork', { network: 'a', labels: { of: 'mine' } });
    const isUpdate = ({ intents }: Unit) => intents.some(({ type }) => type === 'NetworkUpdateRequested');
    // Not asked yet, since it stands behind nobody: its turn comes when the others have theirs.
    world.run('JoinEndpoint', { network: 'b', endpoint: 'eb', sandbox: 'box' });
    const joining = world.take((unit) => !isUpdate(unit));
    assert.deepEqual(shape(joining), ['EndpointJoin']);
    world.run('JoinEndpoint', { network: 'a', endpoint: 'ea', sandbox: 'box' });
    const update = [...world.state.intents.values()].find(({ type }) => type === 'NetworkUpdateRequested');
    world.backlog.touch(update?.meta.id ?? '');
    assert.deepEqual(shape(world.take()), []);
    world.finish(joining);
    const second = world.take();
    assert.deepEqual(shape(second), ['NetworkUpdate']);
    world.finish(second);
    assert.deepEqual(shape(world.take()), ['EndpointJoin']);
  });
});

describe('actors', () => {
  it('take turns: who has asked for much waits behind itself, and in the order of its commands', () => {
    const world = withNetworks('web', 'other');
    for (let n = 0; n < 100; n++) world.run('CreateEndpoint', { network: 'web', name: `e${n}` }, { actor: 'busy' });
    for (const actor of ['one', 'two']) world.run('CreateEndpoint', { network: 'other', name: actor }, { actor });
    const batch = world.take().map(({ intents }) => intents[0]?.meta.actor);
    assert.equal(batch.length, 16);
    assert.deepEqual(batch.slice(0, 4), ['busy', 'one', 'two', 'busy']);
    const names = [...world.take(), ...world.take()].map(({ intents }) => intents[0]?.meta.commandid);
    assert.deepEqual(names, [...names].sort());
    assert.equal(names.length, 32);
  });
});

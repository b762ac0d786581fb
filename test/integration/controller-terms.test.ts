// Two controllers at work at once, by mistake or for a moment: what names no host is decided once, wherever each of them would decide it.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { commitHeaders } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import type { Controller } from '../../services/controller/controller.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Append, Appended, Stream } from '../../services/lib/stream.ts';
import { able, RealmStage } from '../support/realm-stage.ts';
import { startController, until } from '../support/world.ts';

/** A stream whose appends to a host's decisions wait on their way, if told so. */
class Late {
  readonly stream: Stream;
  isSlow = false;
  #underway: { readonly arrive: () => Promise<Appended>; readonly answer: (appended: Appended) => void }[] = [];

  constructor(stream: Stream) {
    const append = (message: Append): Promise<Appended> => {
      if (!this.isSlow || !message.subject.startsWith('cnm.event.host.')) return stream.append(message);
      const { promise, resolve } = Promise.withResolvers<Appended>();
      this.#underway.push({ arrive: () => stream.append(message), answer: resolve });
      return promise;
    };
    this.stream = Object.assign(Object.create(stream), { append }) as Stream;
  }

  get waits(): number {
    return this.#underway.length;
  }

  /** Whoever waits for an answer has waited long enough; what was sent is still under way. */
  giveUp(): void {
    this.isSlow = false;
    for (const { answer } of this.#underway) answer({ kind: 'unknown', cause: 'timeout' });
  }

  /** @returns what becomes of all that is under way */
  async arrive(): Promise<readonly string[]> {
    this.isSlow = false;
    const became: string[] = [];
    for (const { arrive, answer } of this.#underway.splice(0)) {
      const appended = await arrive();
      became.push(appended.kind);
      answer(appended);
    }
    return became;
  }
}

describe('a command that names no host', () => {
  let stage: RealmStage;
  let late: Late;
  let first: Controller;
  const controllers: Controller[] = [];
  const start = async (log: Stream): Promise<Controller> => {
    const controller = startController({ log, commands: stage.commands }, systemClock, stage.answers);
    controllers.push(controller);
    await controller.start();
    controller.activate();
    return controller;
  };
  /** Subjects on which something was decided of a command. */
  const decidedOn = (id: string): readonly string[] => [
    ...new Set(
      stage.log.stored().flatMap(({ subject, body }) => {
        const events = JSON.parse(new TextDecoder().decode(body)) as readonly { commandid: string }[];
        return subject.startsWith('cnm.event.') && events.some(({ commandid }) => commandid === id) ? [subject] : [];
      }),
    ),
  ];
  const answersTo = (id: string) =>
    new Set(
      stage.answers.flatMap(({ subject, body }) =>
        subject === subjects.reply('alice', id) ? [JSON.stringify([body.kind, body.code])] : [],
      ),
    );

  beforeEach(async () => {
    stage = new RealmStage();
    late = new Late(stage.log);
    await stage.host('h1');
    first = await start(late.stream);
    assert.equal(await stage.code('CreateNetwork', { name: 'web' }), 'succeeded');
  });
  afterEach(async () => {
    await late.arrive();
    for (const controller of controllers.splice(0)) await controller.stop();
    await stage.stop();
  });

  it('is decided once, where one of them is late with what it has decided before there was another host', async () => {
    late.isSlow = true;
    const id = await stage.send('CreateNetwork', { name: 'late' });
    await until(() => late.waits === 1, 'the first one has decided it');
    await stage.host('h2', able('h2'));
    await start(stage.log);
    await until(() => answersTo(id).size > 0, 'the second one has decided it');
    assert.deepEqual(await late.arrive(), ['conflict']);
    await stage.settled();
    assert.deepEqual([decidedOn(id), [...answersTo(id)]], [[subjects.realm], ['["refused","HOST_REQUIRED"]']]);
    stage.checkChain();
  });

  it('is decided once, where nobody answered, it is decided anew, and the commit comes after all', async () => {
    late.isSlow = true;
    const id = await stage.send('CreateNetwork', { name: 'late' });
    await until(() => late.waits === 1, 'it is decided');
    await stage.host('h2', able('h2'));
    late.giveUp();
    await until(() => answersTo(id).size > 0, 'it is decided anew');
    assert.deepEqual(await late.arrive(), ['conflict']);
    await stage.settled();
    assert.deepEqual([decidedOn(id), [...answersTo(id)]], [[subjects.realm], ['["refused","HOST_REQUIRED"]']]);
    stage.checkChain();
  });

  it('is decided by one of two that go on side by side, and each goes on', async () => {
    await stage.host('h2', able('h2'));
    const second = await start(stage.log);
    for (let at = 0; at < 3; at++) {
      const id = await stage.send('CreateNetwork', { name: `n${at}` }, at % 2 === 0 ? 'h1' : 'h2');
      const open = await stage.send('CreateNetwork', { name: `open${at}` });
      await until(() => answersTo(id).size > 0 && answersTo(open).size > 0, 'both are decided');
      assert.deepEqual([decidedOn(id).length, decidedOn(open)], [1, [subjects.realm]]);
    }
    await second.deactivate();
    assert.equal(await stage.code('CreateNetwork', { name: 'after' }, 'h2'), 'succeeded');
    await first.deactivate();
    second.activate();
    assert.equal(await stage.code('CreateNetwork', { name: 'last' }, 'h1'), 'succeeded');
    const terms = stage.log
      .stored()
      .flatMap((message) => (message.subject === subjects.realm ? [Number(message.header(commitHeaders.term))] : []))
      .filter((term) => term > 0);
    assert.ok(terms.length > 2);
    assert.deepEqual(
      terms,
      terms.map((_, at) => at + 1),
    );
    stage.checkChain();
  });

  it('adds nothing to the log of a controller that is alone', async () => {
    await stage.run('CreateNetwork', { name: 'other' });
    await first.deactivate();
    first.activate();
    assert.equal(await stage.code('CreateNetwork', { name: 'next' }), 'succeeded');
    const stated = stage.log.stored().filter((message) => message.header(commitHeaders.term) !== '');
    assert.deepEqual(
      stated.map(({ subject }) => subject),
      [subjects.realm],
    );
  });
});

// Many commands of one actor: nobody else waits for them, what is too much is refused, and the log is not flooded with it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventOf } from '../../events/envelope.ts';
import { noUse } from '../../events/quotas.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { foldLog } from '../../services/lib/realm.ts';
import { inFrontOf } from '../../services/lib/stream.ts';
import type { MemoryStream } from '../support/memory-stream.ts';
import { type Stage, staged } from '../support/stage.ts';
import { until } from '../support/world.ts';

const sums = (stage: Stage) => stage.events('CommandsRefused') as readonly EventOf<'CommandsRefused'>[];

const refusedIn = (stage: Stage): number => sums(stage).reduce((count, { data }) => count + data.count, 0);

/** How many answers of each kind went to these commands: the code of a refusal, `accepted` or a status. */
const answered = (stage: Stage, ids: readonly string[], actor: string): Readonly<Record<string, number>> => {
  const kinds = ids.flatMap((id) =>
    stage.answersTo(id, actor).map((one) => String(one.code ?? one.status ?? one.kind)),
  );
  return Object.fromEntries([...Map.groupBy(kinds, (kind) => kind)].map(([kind, { length }]) => [kind, length]));
};

const sendMany = async (count: number, send: (n: number) => Promise<string>): Promise<string[]> => {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await send(n));
  return ids;
};

/** Commands come a millisecond apart, however quickly they are sent. */
const perMillisecond = () => {
  let nowMs = systemClock.nowMs();
  return { nowMs: () => ++nowMs };
};

/** That many networks of one actor. */
const creates = (stage: Stage, count: number, actor: string, name = actor): Promise<string[]> =>
  sendMany(count, (n) => stage.send('CreateNetwork', { name: `${name}${n}` }, { actor }));

test('somebody who sends five thousand commands keeps nobody else waiting', () =>
  staged(async (stage) => {
    const removal = (n: number) => stage.send('DeleteNetwork', { network: `n${n}` }, { actor: 'mallory' });
    await sendMany(5_000, removal);
    const id = await stage.send('CreateNetwork', { name: 'web' });
    await stage.controller();
    await stage.allDecided();
    const order = stage.events().flatMap(({ meta }) => meta.commandseq ?? []);
    // As soon as it is read: whoever reads has them all to pass.
    assert.ok(order.indexOf(5_001) < 2_500, `behind ${order.indexOf(5_001)} others`);
    assert.deepEqual(
      order.filter((sequence) => sequence <= 5_000),
      Array.from({ length: 5_000 }, (_, index) => index + 1),
    );
    assert.equal(stage.answersTo(id)[0]?.kind, 'accepted');
    stage.audit();
  }));

test('who takes over decides what is left of those who wait behind themselves, and nothing twice', () =>
  staged(async (stage) => {
    const removal = (n: number) => stage.send('DeleteNetwork', { network: `n${n}` }, { actor: 'mallory' });
    await sendMany(3_000, removal);
    await creates(stage, 20, 'alice');
    const first = await stage.controller();
    await until(() => stage.decided() > 500, 'some are decided');
    await first.stop();
    assert.ok(stage.decided() < 3_020, 'some are left');
    await stage.controller();
    await stage.allDecided();
    assert.equal(stage.events('CommandRefused').length, 3_000);
    assert.equal(stage.events('NetworkCreateRequested').length, 20);
    stage.audit();
  }));

test('commands over the rate are refused, summed and answered; also by whoever takes over', () =>
  staged(
    async (stage) => {
      const first = await stage.controller();
      await stage.send('SetQuota', { actor: 'mallory', limits: { rate: 10, burst: 20 } }, { actor: 'root' });
      await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
      const ids = await creates(stage, 1_000, 'mallory');
      const own = await creates(stage, 30, 'alice');
      await until(() => ids.every((id) => stage.answersTo(id, 'mallory').length > 0), 'each is answered');
      // A thousand a second of the stream's own time.
      const { RATE_LIMITED: refused = 0, accepted = 0 } = answered(stage, ids, 'mallory');
      assert.deepEqual([accepted, refused], [29, 971]);
      assert.equal(refusedIn(stage), 971);
      assert.ok(sums(stage).length <= 4, `${sums(stage).length} events`);
      await until(() => own.every((id) => stage.answersTo(id).length === 2), 'nobody else is refused anything');
      const before = stage.answers.length;
      await first.stop();
      await stage.controller();
      await stage.send('CreateNetwork', { name: 'last' });
      await until(() => stage.decided() === 1 + 29 + 30 + 1, 'the other one goes on');
      assert.equal(refusedIn(stage), 971, 'nothing is refused twice');
      const again = stage.answers.slice(before).filter(({ subject }) => subject.startsWith('cnm.reply.mallory.'));
      for (const { body } of again) {
        const [told] = stage.answersTo(String(body.commandid), 'mallory');
        assert.equal(body.code, told?.code, 'and gets the same answer');
      }
      stage.audit();
    },
    {},
    perMillisecond(),
  ));

for (const fate of ['lost', 'unacknowledged', 'conflict'] as const)
  test(`a sum whose commit meets ${fate} is recorded once`, () =>
    staged(
      async (stage: Stage<MemoryStream>) => {
        await stage.controller();
        await stage.send('SetQuota', { actor: 'mallory', limits: { rate: 1, burst: 1 } }, { actor: 'root' });
        await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
        const [taken = ''] = await creates(stage, 1, 'mallory');
        await until(() => stage.answersTo(taken, 'mallory').length === 2, 'the first one is done');
        stage.log.injectNext(fate);
        const ids = await creates(stage, 5, 'mallory', 'more');
        await until(() => ids.every((id) => stage.answersTo(id, 'mallory').length > 0), 'each is answered');
        assert.deepEqual(answered(stage, ids, 'mallory'), { RATE_LIMITED: 5 });
        assert.equal(refusedIn(stage), 5);
        stage.audit();
      },
      {},
      perMillisecond(),
    ));

for (const alsoFirst of [true, false])
  test(`what another controller has refused meanwhile is told again${alsoFirst ? ', and what came behind it is recorded' : ', not decided'}`, () =>
    staged(
      async (stage) => {
        const first = await stage.controller();
        await stage.send('SetQuota', { actor: 'mallory', limits: { rate: 1, burst: 1 } }, { actor: 'root' });
        await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
        const one = () => creates(stage, 1, 'mallory');
        const taken = alsoFirst ? [] : await one();
        await until(() => taken.every((id) => stage.answersTo(id, 'mallory').length === 2), 'the first one is done');
        const gate = Promise.withResolvers<void>();
        const read = new Set<number>();
        const log = inFrontOf(stage.log, {
          append: async (message) => {
            await gate.promise;
            return stage.log.append(message);
          },
        });
        const commands = inFrontOf(stage.commands, {
          read: (options, onMessage) =>
            stage.commands.read(options, (message) => {
              onMessage(message);
              read.add(message.position);
            }),
        });
        await stage.controller(systemClock, { commands, log });
        const [own = ''] = await creates(stage, 1, 'alice');
        await until(() => stage.answersTo(own).length >= 2, 'one of them decides, the other is about to');
        if (alsoFirst) taken.push(...(await one()));
        const ids = await creates(stage, 3, 'mallory', 'more');
        await until(() => ids.every((id) => stage.answersTo(id, 'mallory').length > 0), 'each is answered');
        await first.stop();
        ids.push(...(await creates(stage, 2, 'mallory', 'last')));
        await until(() => read.has(stage.sent.length), 'the other one has read all');
        gate.resolve();
        await until(() => ids.every((id) => stage.answersTo(id, 'mallory').length > 0), 'the rest is answered');
        await until(() => stage.decided() + stage.summed() >= stage.sent.length, 'and recorded');
        assert.equal(refusedIn(stage), ids.length);
        for (const id of ids) assert.deepEqual(Object.keys(answered(stage, [id], 'mallory')), ['RATE_LIMITED']);
        stage.audit();
      },
      {},
      perMillisecond(),
    ));

test('a controller that is told to stop while it records a sum stops', () =>
  staged(
    async (stage) => {
      const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const log = inFrontOf(stage.log, {
        append: async (message) => {
          if (String(message.body).includes('CommandsRefused')) {
            begun.resolve();
            await gate.promise;
          }
          return stage.log.append(message);
        },
      });
      const controller = await stage.controller(systemClock, { commands: stage.commands, log });
      await stage.send('SetQuota', { actor: 'mallory', limits: { rate: 1, burst: 1 } }, { actor: 'root' });
      await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
      // One is taken, one is over the rate: when that is recorded nothing is left to do.
      await creates(stage, 2, 'mallory');
      await begun.promise;
      const stopped = controller.stop();
      gate.resolve();
      await stopped;
    },
    {},
    perMillisecond(),
  ));

test('where more is over the rate than may wait for its answer, reading goes on once that is recorded and told', () =>
  staged(
    async (stage) => {
      const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const log = inFrontOf(stage.log, {
        append: async (message) => {
          if (String(message.body).includes('CommandsRefused')) {
            begun.resolve();
            await gate.promise;
          }
          return stage.log.append(message);
        },
      });
      await stage.controller(systemClock, { commands: stage.commands, log });
      await stage.send('SetQuota', { actor: 'mallory', limits: { rate: 1, burst: 1 } }, { actor: 'root' });
      await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
      await creates(stage, 2, 'mallory');
      await begun.promise;
      await creates(stage, 9_000, 'mallory', 'more');
      const last = await stage.send('CreateNetwork', { name: 'last' });
      gate.resolve();
      await until(() => stage.answersTo(last).length > 0, 'somebody behind all of them is decided');
      const told = () => stage.answers.filter(({ body }) => body.code === 'RATE_LIMITED');
      // the few that were within the rate are not in it
      await until(
        () => refusedIn(stage) > 8_900 && told().length === refusedIn(stage),
        'each is recorded and answered',
      );
      assert.equal(new Set(told().map(({ subject }) => subject)).size, told().length, 'each once');
      stage.audit();
    },
    {},
    perMillisecond(),
  ));

test('more than the quota is refused with what stands in the way; beyond a few a second it is summed', () =>
  staged(async (stage) => {
    await stage.controller();
    await stage.send('SetQuota', { limits: { networks: 3, endpoints: 4, ports: 3 } }, { actor: 'root' });
    await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
    const ids = await creates(stage, 50, 'mallory');
    await until(() => ids.every((id) => stage.answersTo(id, 'mallory').length > 0), 'each is answered');
    assert.deepEqual(answered(stage, ids, 'mallory'), { accepted: 3, succeeded: 3, QUOTA_EXCEEDED: 47 });
    const single = stage.events('CommandRefused').length;
    assert.ok(single >= 10 && single < 47, `${single} recorded one by one`);
    assert.equal(single + refusedIn(stage), 47);
    const refusal = ids.flatMap((id) => stage.answersTo(id, 'mallory')).find(({ code }) => code === 'QUOTA_EXCEEDED');
    assert.partialDeepStrictEqual(refusal, {
      detail: 'actor mallory may have 3 networks and has 3: 1 more are too many',
      culprits: [
        { kind: 'quota', id: 'networks', detail: '3 of 3' },
        ...Array.from({ length: 3 }, () => ({ kind: 'network' })),
      ],
    });
    const gone = await stage.send('DeleteNetwork', { network: 'mallory0' }, { actor: 'mallory' });
    await until(() => stage.answersTo(gone, 'mallory').length === 2, 'it is gone');
    const [again = ''] = await creates(stage, 1, 'mallory', 'again');
    await until(() => stage.answersTo(again, 'mallory').length === 2, 'what is gone counts no more');
    stage.audit();
  }));

test('endpoints, addresses and ports are counted for whoever created them, and quotas of their own come before that of everybody', () =>
  staged(async (stage) => {
    await stage.controller();
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.send('SetQuota', { limits: { endpoints: 2, addresses: 2, ports: 3 } }, { actor: 'root' });
    await stage.send('SetQuota', { actor: 'bob', limits: {} }, { actor: 'root' });
    const attach = (actor: string, name: string, ports: { hostPort?: number; port: number; count?: number }[] = []) =>
      stage.send('CreateEndpoint', { network: 'web', name, ports }, { actor });
    const ok = [await attach('alice', 'a1', [{ port: 80, hostPort: 8080 }]), await attach('alice', 'a2')];
    const over = await attach('alice', 'a3');
    const bobs = await sendMany(5, (n) => attach('bob', `b${n}`));
    const update = await stage.send('UpdateEndpoint', {
      network: 'web',
      endpoint: 'a1',
      ports: [1, 2, 3, 4].map((n) => ({ port: n, hostPort: 8080 + n })),
    });
    await stage.allDecided();
    await until(() => stage.answersTo(over).length > 0 && stage.answersTo(update).length > 0, 'answered');
    for (const id of ok) assert.equal(stage.answersTo(id)[0]?.kind, 'accepted');
    assert.equal(stage.answersTo(over)[0]?.code, 'QUOTA_EXCEEDED');
    assert.match(String(stage.answersTo(over)[0]?.detail), /2 endpoints/);
    assert.match(String(stage.answersTo(update)[0]?.detail), /3 ports and has 1: 3 more/);
    await until(() => bobs.every((id) => stage.answersTo(id, 'bob').length === 2), 'bob has no limit');
    const { shared } = foldLog(stage.logged);
    assert.deepEqual(shared.uses.get('alice'), { ...noUse, networks: 1, endpoints: 2, addresses: 2, ports: 1 });
    assert.deepEqual(shared.uses.get('bob'), { ...noUse, endpoints: 5, addresses: 5 });
    const none = await stage.send('SetQuota', { actor: 'carol', limits: null }, { actor: 'root' });
    await until(() => stage.answersTo(none, 'root').length > 0, 'answered');
    assert.equal(stage.answersTo(none, 'root')[0]?.code, 'QUOTA_NOT_FOUND');
    stage.audit();
  }));

test('who has all that the quota allows moves all the same: what a move makes stands for what it takes away', () =>
  staged(async (stage) => {
    await stage.controller();
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.send('CreateNetwork', { name: 'db' });
    await stage.send('SetQuota', { limits: { endpoints: 1, addresses: 1 } }, { actor: 'root' });
    await until(() => stage.events('QuotaSet').length === 1, 'the quota is set');
    const attached = await stage.send('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
    await until(() => stage.answersTo(attached).length === 2, 'it is attached');
    const moved = await stage.send('MoveSandbox', { sandbox: 's1', from: 'web', to: { network: 'db' } });
    await until(() => stage.answersTo(moved).length === 2, 'it is moved');
    assert.equal(stage.answersTo(moved)[1]?.status, 'succeeded');
    const more = await stage.send('CreateEndpoint', { network: 'web', name: 'e1' });
    await until(() => stage.answersTo(more).length === 1, 'it is answered');
    assert.equal(stage.answersTo(more)[0]?.code, 'QUOTA_EXCEEDED');
    const { shared } = foldLog(stage.logged);
    assert.deepEqual(shared.uses.get('alice'), { ...noUse, networks: 2, endpoints: 1, addresses: 1 });
  }));

test('only operators set quotas, where controllers name some', () =>
  staged(async (stage) => {
    await stage.controller(undefined, undefined, { operators: new Set(['root']) });
    const no = await stage.send('SetQuota', { limits: null }, { actor: 'mallory' });
    const yes = await stage.send('SetQuota', { limits: { networks: 1 } }, { actor: 'root' });
    await stage.allDecided();
    await until(() => stage.answersTo(no, 'mallory').length + stage.answersTo(yes, 'root').length > 1, 'answered');
    assert.equal(stage.answersTo(no, 'mallory')[0]?.code, 'OPERATOR_ONLY');
    assert.equal(stage.events('QuotaSet').length, 1);
    stage.audit();
  }));

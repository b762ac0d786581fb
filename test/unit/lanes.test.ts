// Whose command is decided next: turns, order within an actor, who is held back, what stays on the stream.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { subjects } from '../../events/names.ts';
import { laneLimits } from '../../services/controller/lane.ts';
import { Lanes, type LanesOptions, queueLimits } from '../../services/controller/lanes.ts';
import type { Message } from '../../services/lib/stream.ts';

const fair = { perSecond: 100, burst: 200 };

class Queue {
  readonly refused: number[] = [];
  readonly lanes: Lanes;
  readonly stored: Message[] = [];
  #clockMs = 0;

  constructor(options: Partial<LanesOptions> = {}) {
    const refused = ({ position }: Message): unknown => this.refused.push(position);
    this.lanes = new Lanes({ fair, quota: () => null, refused, ...options }, 1);
  }

  /** Commands of an actor, so many a second, as the server has stored them. */
  publish(actor: string, count: number, perSecond = 1_000, bytes = 10): void {
    for (let n = 0; n < count; n++) {
      this.#clockMs += 1_000 / perSecond;
      const position = this.stored.length + 1;
      const body = new Uint8Array(bytes);
      const stored = { position, recordedMs: this.#clockMs, subject: subjects.command(actor, 'h1'), body };
      this.stored.push(stored as unknown as Message);
      this.lanes.offer(this.stored.at(-1) as Message);
    }
  }

  /** Reads on for every lane that wants it, as far as it does. */
  refill(): void {
    for (const lane of [...this.lanes.wanting()])
      for (const message of this.stored.slice((lane.behindFrom ?? 1) - 1))
        if (message.subject.startsWith(`cnm.command.${lane.token}.`) && !this.lanes.refill(lane, message)) break;
  }

  /** Actors of what is taken. */
  take(max: number, nowMs = 0): readonly string[] {
    return this.lanes.take(max, nowMs).map(({ subject }) => subject.split('.')[2] ?? '');
  }
}

const count = (taken: readonly string[]): Readonly<Record<string, number>> =>
  Object.fromEntries([...Map.groupBy(taken, (actor) => actor)].map(([actor, list]) => [actor, list.length]));

describe('turns', () => {
  it('are taken by every actor, whoever has more waiting, and what is taken is in the order of the stream', () => {
    const queue = new Queue();
    queue.publish('alice', 100, 10);
    queue.publish('bob', 3, 10);
    queue.publish('carol', 2, 10);
    const taken = queue.lanes.take(16, 0);
    assert.deepEqual(count(taken.map(({ subject }) => subject.split('.')[2] ?? '')), { alice: 11, bob: 3, carol: 2 });
    assert.deepEqual(
      taken.map(({ position }) => position),
      [...taken.map(({ position }) => position)].sort((a, b) => a - b),
    );
  });

  it('are announced by whoever had nothing waiting', () => {
    const queue = new Queue();
    queue.publish('alice', 2, 10);
    queue.publish('bob', 1, 10);
    const offers = queue.stored.map((message) =>
      new Lanes({ fair, quota: () => null, refused: () => undefined }, 1).offer(message),
    );
    assert.deepEqual(offers, [true, true, true], 'each is the first of its lane');
    const lanes = new Lanes({ fair, quota: () => null, refused: () => undefined }, 1);
    assert.deepEqual(
      queue.stored.map((message) => lanes.offer(message)),
      [true, false, true],
    );
    assert.equal(lanes.take(16, 0).length, 3);
    assert.equal(lanes.offer({ ...(queue.stored[0] as Message), position: 4 }), true, 'all that waited is taken');
  });

  it('go on where they were left, however many actors there are', () => {
    const queue = new Queue();
    for (let actor = 0; actor < 40; actor++) queue.publish(`a${actor}`, 5, 10);
    const seen = [...queue.take(16), ...queue.take(16), ...queue.take(8)];
    assert.equal(new Set(seen).size, 40, 'each has had one turn before anybody has a second one');
  });

  it('come to services first, since what they send is part of work that was accepted, and never to them alone', () => {
    const queue = new Queue();
    queue.publish('alice', 10, 10);
    queue.publish('worker:h1', 40, 10_000);
    assert.deepEqual(count(queue.take(16)), { 'worker=3Ah1': 8, alice: 8 });
    assert.deepEqual(count(queue.take(16)), { 'worker=3Ah1': 14, alice: 2 });
    assert.deepEqual(count(queue.take(16)), { 'worker=3Ah1': 16 });
  });
});

describe('an actor over the fair rate', () => {
  it('is held back to a command in 50 ms while somebody else is at work, and loses nothing', () => {
    const queue = new Queue();
    queue.publish('mallory', 1_000);
    queue.publish('alice', 1);
    assert.deepEqual(count(queue.take(16, 1_000)), { mallory: 1, alice: 1 });
    assert.deepEqual(queue.take(16, 1_010), []);
    assert.equal(queue.lanes.pauseMs(1_010), 40);
    assert.equal(queue.lanes.pauseMs(1_060), 1, 'also when its time has come since');
    assert.deepEqual(queue.take(16, 1_050), ['mallory']);
    // Nobody has sent anything for a quarter of a second.
    assert.deepEqual(count(queue.take(16, 1_250)), { mallory: 16 });
  });

  it('is not waited for by somebody who never had a turn', () => {
    const queue = new Queue();
    assert.equal(queue.lanes.pauseMs(1_000), null);
    queue.publish('bob', 1);
    assert.equal(queue.lanes.pauseMs(1_000), 1);
  });

  it('takes turns with others who are over it', () => {
    const queue = new Queue();
    queue.publish('mallory', 500);
    queue.publish('trudy', 500);
    assert.deepEqual(count(queue.take(16, 0)), { mallory: 8, trudy: 8 });
    assert.deepEqual(count(queue.take(16, 1)), { mallory: 8, trudy: 8 });
  });

  it('is anybody again when it has paused', () => {
    const queue = new Queue();
    queue.publish('mallory', 300);
    queue.publish('alice', 400, 200);
    queue.publish('mallory', 1);
    assert.ok((count(queue.take(16, 0)).mallory ?? 0) > 1);
  });

  it('is counted by when the server stored what it sent, not by how long we were away', () => {
    const queue = new Queue();
    queue.publish('mallory', 1_000, 90);
    queue.publish('alice', 1);
    assert.deepEqual(count(queue.take(16, 0)), { mallory: 15, alice: 1 });
  });
});

describe('what is in memory', () => {
  it('is bounded for an actor by number and by bytes; the rest is read again from the stream, in order and once', () => {
    const queue = new Queue();
    queue.publish('mallory', 5_000);
    assert.equal(queue.lanes.length, laneLimits.messagesMax);
    queue.publish('alice', 1);
    assert.equal(queue.lanes.oldest, 1);
    const taken: number[] = [];
    for (let nowMs = 0; taken.length < 5_001; nowMs += 1_000) {
      taken.push(...queue.lanes.take(16, nowMs).map(({ position }) => position));
      queue.refill();
      assert.ok(queue.lanes.length <= laneLimits.messagesMax + 1);
    }
    assert.ok(taken.indexOf(5_001) < 16, 'nobody waits behind them');
    const own = taken.filter((position) => position <= 5_000);
    assert.deepEqual(
      own,
      Array.from({ length: 5_000 }, (_, index) => index + 1),
    );
    assert.equal(queue.lanes.oldest, 5_002);
    assert.equal(queue.lanes.length, 0);
    const large = new Queue();
    large.publish('mallory', 20, 10, laneLimits.bytesMax / 8);
    assert.equal(large.lanes.length, 8);
  });

  it('goes on behind what is not on the stream any more', () => {
    const queue = new Queue();
    queue.publish('mallory', 2_000);
    queue.take(1_000);
    const [lane] = [...queue.lanes.wanting()];
    assert.ok(lane);
    queue.lanes.lost(lane, 2_000);
    assert.equal(lane.behindFrom, null);
    queue.publish('mallory', 1);
    assert.equal(queue.lanes.take(100, 0).at(-1)?.position, 2_001);
  });

  it('has room for whoever has nothing in it, beside any number of actors who have more than fits', () => {
    for (const floods of [4, 5, 100]) {
      const queue = new Queue();
      for (let turn = 0; turn < 20; turn++)
        for (let actor = 0; actor < floods; actor++) queue.publish(`mallory${actor}`, 100, 100_000);
      assert.equal(queue.lanes.isFull, false);
      assert.ok(queue.lanes.length > queueLimits.messagesMax / 4, 'what is shared, is used');
      queue.publish('alice', 1);
      assert.ok(queue.take(2 * floods).includes('alice'));
      queue.refill();
      assert.deepEqual([...queue.lanes.wanting()], []);
    }
  });

  it('is bounded over all actors, however many', () => {
    const queue = new Queue();
    for (let actor = 0; !queue.lanes.isFull; actor++) queue.publish(`a${actor}`, 1);
    assert.equal(queue.lanes.length, queueLimits.messagesMax);
    assert.equal(queue.lanes.isHalfEmpty, false);
    while (!queue.lanes.isHalfEmpty) assert.ok(queue.take(16).length > 0);
    assert.equal(queue.lanes.length, queueLimits.messagesMax / 2);
  });
});

describe('a quota of commands', () => {
  it('refuses what is over it, and nothing of our own services', () => {
    const queue = new Queue({ quota: () => ({ perSecond: 10, burst: 20 }) });
    queue.publish('alice', 100, 100);
    queue.publish('collector', 100, 100);
    assert.equal(queue.refused.length, 100 - 20 - 9);
    assert.deepEqual(count(queue.take(1_000)), { alice: 29, collector: 100 });
    queue.publish('alice', 10, 10);
    assert.equal(queue.take(1_000).length, 10);
  });
});

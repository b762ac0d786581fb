/** What every adapter of the stream port promises (services/lib/stream.ts), as tests over a factory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { batchPlace, storedHeaders } from '../../services/nats/jetstream.ts';

/** A stream that takes subjects under `t.`, empty, of no other test. */
export type MakeStream = () => Promise<Stream>;

const text = (message: Message): string => new TextDecoder().decode(message.body);
const write = async (stream: Stream, subject: string, ...bodies: readonly string[]): Promise<void> => {
  for (const body of bodies) {
    const answer = await stream.append({ subject, body, id: `${subject}/${body}` });
    assert.equal(answer.kind, 'appended');
  }
};
const readAll = async (stream: Stream, from: number, subjects?: readonly string[]): Promise<readonly Message[]> => {
  const messages: Message[] = [];
  const reader = stream.read(subjects === undefined ? { from } : { from, subjects }, (message) =>
    messages.push(message),
  );
  await reader.caughtUp;
  await reader.stop();
  await reader.closed;
  return messages;
};
const positions = (messages: readonly Message[]): readonly number[] => messages.map(({ position }) => position);

export const streamSuite = (adapter: string, make: MakeStream): void => {
  describe(`stream port: ${adapter}`, () => {
    appending(make);
    appendingAll(make);
    reading(make);
    readingOn(make);
    lookingUp(make);
  });
};

const appending = (make: MakeStream): void => {
  test('positions count from 1 without gaps', async () => {
    const stream = await make();
    for (const position of [1, 2, 3]) {
      const answer = await stream.append({ subject: 't.a', body: 'x', id: `${position}` });
      assert.deepEqual(answer, { kind: 'appended', position });
    }
    assert.equal(await stream.last(), 3);
  });

  test('a guard holds for the last position of exactly its subject', async () => {
    const stream = await make();
    await write(stream, 't.b', 'other');
    assert.equal((await stream.append({ subject: 't.a', body: '1', id: '1', expectedLast: 0 })).kind, 'appended');
    assert.equal((await stream.append({ subject: 't.a', body: '2', id: '2', expectedLast: 0 })).kind, 'conflict');
    assert.equal((await stream.append({ subject: 't.a', body: '2', id: '3', expectedLast: 1 })).kind, 'conflict');
    assert.deepEqual(await stream.append({ subject: 't.a', body: '2', id: '4', expectedLast: 2 }), {
      kind: 'appended',
      position: 3,
    });
    assert.equal(await stream.last(), 3);
  });

  test('of two writers with the same guard exactly one wins', async () => {
    const stream = await make();
    for (let round = 0, last = 0; round < 20; round++) {
      const writers = ['left', 'right'].map((writer) =>
        stream.append({ subject: 't.a', body: writer, id: `${writer}${round}`, expectedLast: last }),
      );
      const answers = await Promise.all(writers);
      assert.deepEqual(answers.map(({ kind }) => kind).sort(), ['appended', 'conflict']);
      last = round + 1;
      assert.equal(await stream.last(), last);
    }
  });

  test('an id repeated within the window is stored once, and answered with its position', async () => {
    const stream = await make();
    const message = { subject: 't.a', body: 'x', id: 'once' };
    assert.deepEqual(await stream.append(message), { kind: 'appended', position: 1 });
    await write(stream, 't.a', 'y');
    assert.deepEqual(await stream.append(message), { kind: 'appended', position: 1 });
    assert.equal(await stream.last(), 2);
    assert.equal((await stream.append({ ...message, expectedLast: 0 })).kind, 'conflict');
  });

  test('an append that nobody answers is unknown', async () => {
    const stream = await make();
    assert.equal((await stream.append({ subject: 'elsewhere', body: 'x', id: '1' })).kind, 'unknown');
    assert.equal(await stream.last(), 0);
  });

  test('a subject with wildcards, blanks or empty tokens is refused', async () => {
    const stream = await make();
    for (const subject of ['', 't.*', 't.>', 't..a', 't.a b', '.t', 't.']) {
      await assert.rejects(
        () => stream.append({ subject, body: 'x', id: '1' }),
        (error) => error instanceof NatsFault && error.code === 'MESSAGE_INVALID',
      );
    }
  });

  test('subject, headers and bytes are stored as they were given', async () => {
    const stream = await make();
    const body = Uint8Array.from({ length: 256 }, (_, index) => index);
    const message = {
      subject: 't.a.b-c=20_d',
      body,
      id: 'the id',
      expectedLast: 0,
      headers: { 'Cnm-Prev-Hash': 'abc', b: ' ä ' },
    };
    await stream.append(message);
    const [read] = await readAll(stream, 1);
    const got = await stream.get(1);
    assert.ok(read && got);
    for (const found of [read, got]) {
      assert.equal(found.subject, message.subject);
      assert.deepEqual(Uint8Array.from(found.body), body);
      assert.equal(found.header('Cnm-Prev-Hash'), 'abc');
      assert.equal(found.header('cnm-prev-hash'), '');
      assert.equal(found.header('Nats-Msg-Id'), 'the id');
      assert.deepEqual(found.headers(), storedHeaders(stream.name, message));
      assert.equal(chainHash(found), chainHash({ ...message, headers: () => storedHeaders(stream.name, message) }));
    }
    assert.equal(read.recordedMs, got.recordedMs);
  });

  test('an empty body stays empty', async () => {
    const stream = await make();
    await stream.append({ subject: 't.a', body: '', id: '1' });
    assert.equal((await stream.get(1))?.body.length, 0);
    assert.equal((await readAll(stream, 1))[0]?.body.length, 0);
  });
};

const appendingAll = (make: MakeStream): void => {
  const both = (guards: readonly [number, number], tag: string) =>
    (['t.a', 't.b'] as const).map((subject, index) => {
      const headers = { 'Cnm-Prev-Hash': `hash ${index}` };
      return {
        subject,
        body: `${tag} on ${subject}`,
        id: `${tag}/${subject}`,
        expectedLast: guards[index] ?? 0,
        headers,
      };
    });

  test('several are appended at once, in order and without a gap, each as it was given', async () => {
    const stream = await make();
    await write(stream, 't.c', 'before');
    const messages = both([0, 0], 'first');
    assert.deepEqual(await stream.appendAll(messages), { kind: 'appended', positions: [2, 3] });
    assert.deepEqual(await stream.appendAll(both([2, 3], 'second')), { kind: 'appended', positions: [4, 5] });
    const stored = await readAll(stream, 2);
    assert.deepEqual(stored.map(text), ['first on t.a', 'first on t.b', 'second on t.a', 'second on t.b']);
    for (const [index, message] of messages.entries()) {
      const headers = storedHeaders(stream.name, message, batchPlace(messages, index));
      const [found, got] = [stored[index], await stream.get(index + 2)];
      assert.ok(found && got);
      assert.deepEqual(found.headers(), headers);
      const body = new TextEncoder().encode(message.body);
      for (const one of [found, got])
        assert.equal(chainHash(one), chainHash({ ...message, body, headers: () => headers }));
    }
  });

  test('where one guard does not hold nothing is appended', async () => {
    const stream = await make();
    assert.equal((await stream.appendAll(both([0, 0], 'first'))).kind, 'appended');
    assert.deepEqual(await stream.appendAll(both([1, 1], 'last')), { kind: 'conflict' });
    assert.deepEqual(await stream.appendAll(both([0, 2], 'early')), { kind: 'conflict' });
    assert.equal(await stream.last(), 2);
    assert.deepEqual(await stream.appendAll(both([1, 2], 'again')), { kind: 'appended', positions: [3, 4] });
  });

  test('of two batches with the same guards exactly one is appended', async () => {
    const stream = await make();
    const answers = await Promise.all(['one', 'other'].map((tag) => stream.appendAll(both([0, 0], tag))));
    assert.deepEqual(answers.map(({ kind }) => kind).sort(), ['appended', 'conflict']);
    assert.equal(await stream.last(), 2);
  });

  test('a batch that was appended is not appended again, and whoever repeats it must read', async () => {
    const stream = await make();
    const unguarded = both([0, 0], 'once').map(({ expectedLast: _, ...message }) => message);
    assert.equal((await stream.appendAll(unguarded)).kind, 'appended');
    assert.equal((await stream.appendAll(unguarded)).kind, 'unknown');
    assert.equal(await stream.last(), 2);
  });

  test('one alone is a batch too, none is not', async () => {
    const stream = await make();
    assert.deepEqual(await stream.appendAll(both([0, 0], 'only').slice(0, 1)), { kind: 'appended', positions: [1] });
    await assert.rejects(stream.appendAll([]), NatsFault);
  });

  test('a batch that nobody answers is unknown', async () => {
    const stream = await make();
    const stray = both([0, 0], 'stray').map((message) => ({ ...message, subject: `elsewhere.${message.subject}` }));
    assert.equal((await stream.appendAll(stray)).kind, 'unknown');
    assert.equal(await stream.last(), 0);
  });
};

const reading = (make: MakeStream): void => {
  test('an empty stream, or a filter that nothing fits, is caught up at once', async () => {
    const stream = await make();
    assert.deepEqual(await readAll(stream, 1), []);
    await write(stream, 't.a', '1');
    assert.deepEqual(await readAll(stream, 1, ['t.none', 't.x.>']), []);
  });

  test('everything is delivered once, in order, from the position asked for', async () => {
    const stream = await make();
    for (let batch = 0; batch < 10; batch++) {
      await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          stream.append({ subject: `t.${index % 7}`, body: `${index}`, id: `${batch}/${index}` }),
        ),
      );
    }
    assert.deepEqual(
      positions(await readAll(stream, 1)),
      Array.from({ length: 1000 }, (_, index) => index + 1),
    );
    assert.deepEqual(positions(await readAll(stream, 990)), [990, 991, 992, 993, 994, 995, 996, 997, 998, 999, 1000]);
    assert.deepEqual(await readAll(stream, 1001), []);
  });

  test('filters select subjects, wildcards included', async () => {
    const stream = await make();
    await write(stream, 't.host.a', '1');
    await write(stream, 't.host.b', '2');
    await write(stream, 't.realm.n.x', '3');
    await write(stream, 't.host.a', '4');
    assert.deepEqual(positions(await readAll(stream, 1, ['t.host.a'])), [1, 4]);
    assert.deepEqual(positions(await readAll(stream, 2, ['t.host.*'])), [2, 4]);
    assert.deepEqual(positions(await readAll(stream, 1, ['t.host.b', 't.realm.>'])), [2, 3]);
    assert.deepEqual(positions(await readAll(stream, 1, [])), [1, 2, 3, 4]);
  });

  test('a read up to a position is caught up there, whatever is stored behind it', async () => {
    const stream = await make();
    for (let n = 1; n <= 40; n++) await write(stream, n % 4 === 0 ? 't.b' : 't.a', `${n}`);
    const readUntil = async (until: number, subjects?: readonly string[]): Promise<readonly number[]> => {
      const seen: number[] = [];
      const options = subjects === undefined ? { from: 3, until } : { from: 3, until, subjects };
      const reader = stream.read(options, ({ position }) => seen.push(position));
      await reader.caughtUp;
      await reader.stop();
      return seen.filter((position) => position <= until);
    };
    assert.deepEqual(await readUntil(6), [3, 4, 5, 6]);
    assert.deepEqual(await readUntil(13, ['t.b']), [4, 8, 12]);
    assert.deepEqual(await readUntil(40, ['t.b']), [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]);
    assert.deepEqual(await readUntil(13, ['t.none']), []);
    // Nothing is wanted, and there is something behind it.
    assert.deepEqual(await readUntil(2), []);
  });

  test('pending says how many wanted messages are behind', async () => {
    const stream = await make();
    await write(stream, 't.a', '1', '2');
    await write(stream, 't.b', '3');
    await write(stream, 't.a', '4');
    const pending = (await readAll(stream, 1, ['t.a'])).map((message) => message.pending);
    assert.deepEqual(pending, [2, 1, 0]);
  });

  test('what the callback throws ends the read with it', async () => {
    const stream = await make();
    await write(stream, 't.a', '1', '2', '3');
    const seen: number[] = [];
    const thrown = new Error('enough');
    const reader = stream.read({ from: 1 }, ({ position }) => {
      seen.push(position);
      if (position === 2) throw thrown;
    });
    await assert.rejects(reader.closed, thrown);
    await assert.rejects(reader.caughtUp, thrown);
    assert.deepEqual(seen, [1, 2]);
    await reader.stop();
  });
};

const readingOn = (make: MakeStream): void => {
  test('a read goes on with what is appended later, each message once', async () => {
    const stream = await make();
    await write(stream, 't.a', '1');
    const seen: string[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const reader = stream.read({ from: 1 }, (message) => {
      seen.push(text(message));
      if (seen.length === 301) resolve();
    });
    const bodies = Array.from({ length: 300 }, (_, index) => `${index + 2}`);
    await write(stream, 't.a', ...bodies);
    await done;
    assert.deepEqual(seen, ['1', ...bodies]);
    await reader.caughtUp;
    await reader.stop();
  });

  test('a read that starts beyond the end delivers only what is asked for', async () => {
    const stream = await make();
    const seen: number[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const reader = stream.read({ from: 3 }, ({ position }) => {
      seen.push(position);
      if (position === 4) resolve();
    });
    await reader.caughtUp;
    await write(stream, 't.a', '1', '2', '3', '4');
    await done;
    assert.deepEqual(seen, [3, 4]);
    await reader.stop();
  });

  test('after stop nothing is delivered, not even from within the callback', async () => {
    const stream = await make();
    await write(stream, 't.a', '1', '2', '3');
    const seen: number[] = [];
    const reader = stream.read({ from: 1 }, ({ position }) => {
      seen.push(position);
      void reader.stop();
    });
    await reader.closed;
    await write(stream, 't.a', '4');
    assert.deepEqual(seen, [1]);
    await assert.rejects(reader.caughtUp, (error) => error instanceof NatsFault && error.code === 'READ_STOPPED');
  });

  test('readers do not disturb each other', async () => {
    const stream = await make();
    await write(stream, 't.a', '1', '2', '3');
    const both = await Promise.all([readAll(stream, 1), readAll(stream, 1)]);
    assert.deepEqual(both.map(positions), [
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });
};

const lookingUp = (make: MakeStream): void => {
  test('the last message of a subject, or null', async () => {
    const stream = await make();
    await write(stream, 't.a', '1', '2');
    await write(stream, 't.b', '3');
    const last = await stream.lastOn('t.a');
    assert.ok(last);
    assert.deepEqual([last.position, text(last), last.subject], [2, '2', 't.a']);
    assert.equal(await stream.lastOn('t.c'), null);
  });

  test('the first position is 1, also while nothing is stored', async () => {
    const stream = await make();
    assert.equal(await stream.first(), 1);
    await write(stream, 't.a', '1', '2');
    assert.equal(await stream.first(), 1);
  });

  test('a message by position, or null', async () => {
    const stream = await make();
    await write(stream, 't.a', '1', '2');
    const second = await stream.get(2);
    assert.ok(second);
    assert.deepEqual([second.position, text(second)], [2, '2']);
    assert.deepEqual([await stream.get(0), await stream.get(3)], [null, null]);
  });

  test('the position of a time is that of the first message recorded then or later', async () => {
    const stream = await make();
    assert.equal(await stream.positionAt(0), 1);
    for (const body of ['1', '2', '3']) {
      await write(stream, 't.a', body);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const times = (await readAll(stream, 1)).map(({ recordedMs }) => recordedMs);
    for (const [index, timeMs] of times.entries()) {
      assert.equal(await stream.positionAt(timeMs), index + 1);
      assert.equal(await stream.positionAt(timeMs + 1), index + 2);
    }
    assert.equal(await stream.positionAt(0), 1);
    assert.equal(await stream.last(), 3);
  });
};

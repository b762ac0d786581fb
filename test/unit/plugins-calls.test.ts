/** How long a call waits and for what, how often it is tried, and what its answer means; on a clock that is moved by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { afterFailure, afterTrial, closedBreaker, isOpen } from '../../services/plugins/breaker.ts';
import { attempt, interpret } from '../../services/plugins/caller.ts';
import { Deadline } from '../../services/plugins/deadline.ts';
import { faults } from '../../services/plugins/fault.ts';
import { goStruct, goText } from '../../services/plugins/go-json.ts';
import { Lanes } from '../../services/plugins/lanes.ts';
import type { Posted, Transport } from '../../services/plugins/transport.ts';
import { FakeClock, turn } from '../support/world.ts';

describe('breaker', () => {
  it('opens at the third failure in a row', () => {
    const states = [closedBreaker];
    for (let count = 0; count < 4; count++) states.push(afterFailure(states.at(-1) ?? closedBreaker));
    assert.deepEqual(states.map(isOpen), [false, false, false, true, true]);
  });
  it('tries after 1 s, 2, 4, … and at most 30 s; failures alone do not lengthen it', () => {
    let breaker = afterFailure(afterFailure(closedBreaker));
    const pauses = [breaker.pauseMs];
    for (let count = 0; count < 6; count++) {
      breaker = afterTrial(breaker);
      pauses.push(breaker.pauseMs);
    }
    assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });
});

describe('deadline', () => {
  const clock = new FakeClock();
  const endings = async (byMs: number | undefined, waitMs: number) => {
    const deadline = new Deadline(clock, 5_000, byMs === undefined ? {} : { byMs: clock.nowMs() + byMs });
    await clock.advance(waitMs);
    return deadline.ending;
  };
  it('is that of a call', async () => {
    assert.equal(await endings(undefined, 4_999), null);
    assert.deepEqual(await endings(undefined, 5_000), { kind: 'late', afterMs: 5_000, isFair: true });
    assert.deepEqual(await endings(60_000, 5_000), { kind: 'late', afterMs: 5_000, isFair: true });
  });
  it('is what the command has left, for which a plugin is blamed from 1 s on', async () => {
    assert.deepEqual(await endings(1_000, 1_000), { kind: 'late', afterMs: 1_000, isFair: true });
    assert.deepEqual(await endings(999, 1_000), { kind: 'late', afterMs: 999, isFair: false });
    assert.deepEqual(await endings(0, 0), { kind: 'late', afterMs: 0, isFair: false });
    assert.deepEqual(await endings(-5, 0), { kind: 'late', afterMs: 0, isFair: false });
  });
  it('is the moment when the caller gives up', () => {
    const controller = new AbortController();
    const deadline = new Deadline(clock, 5_000, { signal: controller.signal });
    assert.equal(deadline.signal.aborted, false);
    controller.abort();
    assert.deepEqual([deadline.ending, deadline.signal.aborted], [{ kind: 'given up' }, true]);
    assert.deepEqual(new Deadline(clock, 5_000, { signal: controller.signal }).ending, { kind: 'given up' });
  });
  it('ends a wait, and not the one of somebody who was answered', async () => {
    const deadline = new Deadline(clock, 5_000, {});
    assert.equal(await deadline.race(Promise.resolve(7)), 7);
    const waiting = deadline.race(new Promise<never>(() => {}));
    await clock.advance(5_000);
    assert.equal(await waiting, null);
    assert.equal(await deadline.race(Promise.resolve(7)), null);
  });
  it('sets no timer any more when it is closed', async () => {
    const deadline = new Deadline(clock, 5_000, {});
    deadline.close();
    await clock.advance(5_000);
    assert.equal(deadline.ending, null);
  });
});

describe('lanes', () => {
  const clock = new FakeClock();
  const forever = () => new Deadline(clock, 1e9, {});
  /** Tasks that end when they are told to. */
  const stage = () => {
    const begun: string[] = [];
    const ends = new Map<string, () => void>();
    const task = (name: string) => () =>
      new Promise<string>((resolve) => {
        begun.push(name);
        ends.set(name, () => resolve(name));
      });
    return { begun, task, end: (name: string) => ends.get(name)?.() };
  };

  it('run one behind the other, and beside those of other lanes', async () => {
    const lanes = new Lanes();
    const { begun, task, end } = stage();
    const runs = ['a1', 'a2', 'b1', 'a3'].map((name) => lanes.run(name.slice(0, 1), forever(), task(name)));
    await turn();
    assert.deepEqual(begun, ['a1', 'b1']);
    end('a1');
    await turn();
    assert.deepEqual(begun, ['a1', 'b1', 'a2']);
    for (const name of ['a2', 'b1']) end(name);
    await turn();
    end('a3');
    assert.deepEqual(await Promise.all(runs), ['a1', 'a2', 'b1', 'a3']);
    await turn();
    assert.equal(lanes.size, 0);
  });

  it('who gives up in the queue is not run, and lets nobody past', async () => {
    const lanes = new Lanes();
    const { begun, task, end } = stage();
    const impatient = forever();
    const first = lanes.run('a', forever(), task('first'));
    const second = lanes.run('a', impatient, task('second'));
    const third = lanes.run('a', forever(), task('third'));
    impatient.giveUp();
    assert.equal(await second, null);
    await turn();
    assert.deepEqual(begun, ['first']);
    end('first');
    assert.equal(await first, 'first');
    await turn();
    assert.deepEqual(begun, ['first', 'third']);
    end('third');
    assert.equal(await third, 'third');
  });
});

describe('attempts', () => {
  const gone = (errno: string, isUntouched = true): Posted => ({
    kind: 'unreachable',
    errno,
    text: errno,
    isUntouched,
  });
  const answered: Posted = { kind: 'answered', status: 200, body: '{}' };
  /** What comes of a call whose attempts end like this, and the moments of the attempts. */
  const attempts = async (results: readonly (Posted | 'hangs')[], timeoutMs = 5_000) => {
    const clock = new FakeClock();
    const deadline = new Deadline(clock, timeoutMs, {});
    const bodies: string[] = [];
    const at: number[] = [];
    const transport: Transport = {
      post: (_, body, signal) => {
        bodies.push(body);
        at.push(clock.monotonicMs());
        const result = results[at.length - 1] ?? answered;
        if (result !== 'hangs') return Promise.resolve(result);
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(gone('ABORT_ERR'))));
      },
      close: () => {},
    };
    const posted = attempt(() => transport, 'M', '{"a":1}\n', deadline, clock);
    await turn();
    await clock.advance(60_000, turn);
    assert.deepEqual(new Set(bodies), new Set(bodies.length === 0 ? [] : ['{"a":1}\n']));
    return { posted: await posted, at };
  };

  it('an answer ends them', async () => {
    assert.deepEqual(await attempts([answered]), { posted: answered, at: [0] });
    assert.deepEqual(await attempts([{ ...answered, status: 500 }]), { posted: { ...answered, status: 500 }, at: [0] });
  });
  it('nobody there: five, with the whole body each time', async () => {
    const results = Array(9).fill(gone('ECONNREFUSED'));
    assert.deepEqual(await attempts(results), { posted: gone('ECONNREFUSED'), at: [0, 50, 150, 350, 750] });
  });
  it('there again in between', async () => {
    assert.deepEqual(await attempts([gone('ENOENT'), gone('ECONNRESET')]), { posted: answered, at: [0, 50, 150] });
  });
  it('not behind the beginning of an answer', async () => {
    const cut = gone('ECONNRESET', false);
    assert.deepEqual(await attempts([cut]), { posted: cut, at: [0] });
  });
  it('not where another would end likewise', async () => {
    for (const errno of ['DEPTH_ZERO_SELF_SIGNED_CERT', 'EACCES', 'ERR_TLS_CERT_ALTNAME_INVALID'])
      assert.deepEqual(await attempts([gone(errno)]), { posted: gone(errno), at: [0] });
    const garbled: Posted = { kind: 'garbled', text: '' };
    assert.deepEqual(await attempts([garbled]), { posted: garbled, at: [0] });
  });
  it('a plugin that hangs is asked once', async () => {
    assert.deepEqual(await attempts(['hangs']), { posted: null, at: [0] });
  });
  it('none behind the deadline', async () => {
    assert.deepEqual(await attempts(Array(9).fill(gone('ENOENT')), 200), { posted: null, at: [0, 50, 150] });
    assert.deepEqual(await attempts([answered], 0), { posted: null, at: [] });
  });
});

describe('answers', () => {
  const step = 'I.M of plugin p';
  const schema = goStruct({ Value: goText });
  const meaning = (status: number, body: string, absent?: { Value: string }) =>
    interpret(step, { status, body }, schema, absent);
  const error = (text: string) => ({ ok: false, fault: faults.error(step, text) });
  const cases: readonly (readonly [string, ReturnType<typeof meaning>, unknown])[] = [
    ['a value', meaning(200, '{"Value":"x"}\n'), { ok: true, value: { Value: 'x' } }],
    ['null', meaning(200, 'null'), { ok: true, value: { Value: '' } }],
    ['empty errors are none', meaning(200, '{"Err":"","Error":null}'), { ok: true, value: { Value: '' } }],
    ['Err', meaning(200, '{"Value":"x","Err":"no"}'), error('no')],
    ['Error', meaning(200, '{"Error":"no"}'), error('no')],
    ['an error in another case', meaning(200, '{"ERR":"no"}'), error('no')],
    ['500 with Err', meaning(500, '{"Err":"no"}'), error('no')],
    ['500 with Error', meaning(500, '{"Error":"no"}'), error('no')],
    ['500 in words', meaning(500, 'went wrong\n'), error('went wrong')],
    ['500 without a word', meaning(500, ''), error('HTTP status 500 without a word')],
    ['a status that is no error elsewhere', meaning(204, ''), error('HTTP status 204 without a word')],
    ['404', meaning(404, '{"Err":"no such method"}'), error('no such method')],
    ['404 where it has a meaning', meaning(404, '', { Value: 'none' }), { ok: true, value: { Value: 'none' } }],
    ['500 where 404 has a meaning', meaning(500, 'no', { Value: 'none' }), error('no')],
  ];
  for (const [what, called, wanted] of cases) it(what, () => assert.deepEqual(called, wanted));

  const invalid = {
    empty: '',
    'no JSON': '<html>',
    'a list': '[]',
    'a number': '{"Value":1}',
    'an error that is no text': '{"Err":true}',
  };
  for (const [what, body] of Object.entries(invalid))
    it(`${what} is invalid`, () => {
      const called = meaning(200, body);
      assert.equal(called.ok ? '' : called.fault.code, 'PLUGIN_INVALID');
    });

  it('words of a plugin are one line of bounded length, with their origin', () => {
    const { text } = faults.error(step, `a\nb\u0000c${'x'.repeat(5_000)}`);
    assert.match(text, /^remote: a b cx+…$/);
    assert.equal(text.length, 1_001);
  });
  it('only what was not answered may be tried again', () => {
    const made = [faults.error(step, ''), faults.unreachable(step, ''), faults.invalid(step, '')];
    assert.deepEqual(
      made.map(({ code, retryable }) => [code, retryable]),
      [
        ['PLUGIN_ERROR', false],
        ['PLUGIN_UNREACHABLE', true],
        ['PLUGIN_INVALID', false],
      ],
    );
  });
});

// What arrives on the command stream: anything. Nothing of it may throw.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CommandId } from '../../events/names.ts';
import { takeIn } from '../../services/controller/intake.ts';
import type { Message } from '../../services/lib/stream.ts';

const message = (body: string | Uint8Array, subject = 'cnm.command.alice.h1'): Message => ({
  position: 7,
  recordedMs: Date.UTC(2026, 0, 5),
  subject,
  header: () => '',
  headers: () => [],
  body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  pending: 0,
});
const taken = (content: unknown, subject?: string) => takeIn(message(JSON.stringify(content), subject));
const codeOf = (intake: ReturnType<typeof takeIn>): string | null => (intake.command.ok ? null : intake.command.code);

const id = 'mhx3k2p1-a';
const create = { id, type: 'CreateNetwork', data: { name: 'web' } };

test('a command, with its defaults', () => {
  const intake = taken({ ...create, correlationid: 'job-7', traceparent: '00-1-2-01' });
  assert.ok(intake.command.ok);
  assert.partialDeepStrictEqual(intake, {
    sequence: 7,
    actor: 'alice',
    host: 'h1',
    id,
    correlationid: 'job-7',
    traceparent: '00-1-2-01',
    type: 'CreateNetwork',
  });
  assert.partialDeepStrictEqual(intake.command.value, {
    version: 1,
    deadlineMs: 30_000,
    data: { driver: 'bridge', ipv4: true },
  });
  assert.equal(taken(create, 'cnm.command.alice._').host, null);
  assert.equal(taken(create).correlationid, id);
});

test('the digest tells other content apart, not another order of the fields or a default that is spelt out', () => {
  const digest = (content: object) => taken(content).digest;
  const same = { data: { driver: 'bridge', name: 'web' }, type: 'CreateNetwork', id };
  assert.equal(digest(same), digest(create));
  assert.equal(
    digest({ ...create, correlationid: 'x', deadlineMs: 1 }),
    digest(create),
    'how it is carried is not its content',
  );
  assert.notEqual(digest({ ...create, data: { name: 'Web' } }), digest(create));
  assert.notEqual(digest({ id, type: 'DeleteNetwork', data: { network: 'web' } }), digest(create));
});

test('what is no command says so, under the id that it has or one of its position', () => {
  const cases: readonly (readonly [string | Uint8Array, string])[] = [
    ['', 'COMMAND_MALFORMED'],
    ['{', 'COMMAND_MALFORMED'],
    ['[]', 'COMMAND_MALFORMED'],
    ['null', 'COMMAND_MALFORMED'],
    ['"x"', 'COMMAND_MALFORMED'],
    [Uint8Array.of(0xff, 0xfe, 0x00), 'COMMAND_MALFORMED'],
    ['['.repeat(30_000), 'COMMAND_MALFORMED'],
    ['x'.repeat(65_537), 'COMMAND_TOO_LARGE'],
    ['{}', 'COMMAND_UNKNOWN'],
    ['{"type":"Explode"}', 'COMMAND_UNKNOWN'],
    ['{"type":{"toString":1,"valueOf":1}}', 'COMMAND_UNKNOWN'],
    [`{"type":${'['.repeat(9_000)}${']'.repeat(9_000)}}`, 'COMMAND_UNKNOWN'],
    ['{"type":"CreateNetwork","version":2}', 'COMMAND_UNKNOWN'],
    ['{"type":"CreateNetwork","version":{"toString":null}}', 'COMMAND_UNKNOWN'],
    ['{"type":"__proto__"}', 'COMMAND_UNKNOWN'],
    ['{"type":"CreateNetwork"}', 'COMMAND_MALFORMED'],
  ];
  for (const [body, code] of cases) {
    const intake = takeIn(message(body));
    assert.equal(codeOf(intake), code, String(body).slice(0, 80));
    assert.equal(intake.id, `${Date.UTC(2026, 0, 5).toString(36)}-message/7`);
    assert.ok(CommandId.safeParse(intake.id).success);
  }
  assert.equal(taken({ id, type: 'Explode' }).id, id);
});

test('fields that are wrong are named', () => {
  const culprits = (content: object) => {
    const { command } = taken(content);
    return command.ok ? [] : command.culprits.map((culprit) => culprit.id);
  };
  assert.deepEqual(culprits({ ...create, data: { name: '../x' } }), ['data.name']);
  assert.deepEqual(culprits({ ...create, data: { name: 'web', colour: 'red' } }), ['data']);
  assert.deepEqual(culprits({ ...create, id: 'x' }), ['id']);
  assert.deepEqual(culprits({ ...create, deadlineMs: 0, extra: 1 }), ['deadlineMs', 'body']);
  assert.deepEqual(culprits({ ...create, startBy: 'tomorrow' }), ['startBy']);
});

test('subjects that are none of ours', () => {
  for (const subject of [
    'cnm.command.a.b.c',
    'cnm.command.alice',
    'cnm.command._.h1',
    'cnm.command.alice.h=',
    'x'.repeat(900),
  ]) {
    const intake = taken(create, subject);
    assert.equal(codeOf(intake), 'COMMAND_MALFORMED');
    assert.equal(intake.actor, 'unknown');
    assert.ok(!intake.command.ok && intake.command.detail.length < 300);
  }
});

test('nothing throws, and whatever is refused can be recorded', () => {
  const odd = fc.constantFrom('toString', '__proto__', 'constructor', 'CreateNetwork', -1.5, null, [], {}, id);
  const command = fc.record(
    { id: odd, type: odd, version: odd, data: fc.oneof(odd, fc.object()), correlationid: odd, startBy: odd },
    { requiredKeys: [] },
  );
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.string({ unit: 'binary' }),
    fc.json(),
    command.map((content) => JSON.stringify(content)),
    fc.anything().map((content) => JSON.stringify(content) ?? ''),
  );
  fc.assert(
    fc.property(body, fc.string(), (content, subject) => {
      for (const intake of [takeIn(message(content)), takeIn(message(content, subject))]) {
        assert.ok(CommandId.safeParse(intake.id).success);
        assert.ok(intake.correlationid.length <= 160 && intake.type.length <= 100);
        if (!intake.command.ok) assert.ok(intake.command.detail.length < 1_000);
      }
    }),
    { numRuns: 2_000 },
  );
});

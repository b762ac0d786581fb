import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkId } from '../../events/deciders/upkeep.ts';
import { CommandId, commandId, mintedMs } from '../../events/names.ts';
import {
  commandDue,
  type Due,
  dueId,
  endpointDue,
  isLapseOf,
  lapseDue,
  nameOfId,
} from '../../services/collector/due.ts';
import { Schedule } from '../../services/collector/schedule.ts';
import { endpoint, given, joined, left, network, reported } from '../support/specification.ts';
import { startMs } from '../support/world.ts';

test('a schedule gives what is due first, through changes and deletions', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
  const op = fc.oneof(
    fc.record({ op: fc.constant('set' as const), key, dueMs: fc.nat(20) }),
    fc.record({ op: fc.constant('delete' as const), key }),
    fc.record({ op: fc.constant('take' as const) }),
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const schedule = new Schedule();
      const model = new Map<string, number>();
      for (const step of ops) {
        if (step.op === 'set') {
          schedule.set(step.key, step.dueMs);
          model.set(step.key, step.dueMs);
        } else {
          const gone = step.op === 'delete' ? step.key : schedule.earliest()?.key;
          if (gone === undefined) continue;
          schedule.delete(gone);
          model.delete(gone);
        }
        const first = schedule.earliest();
        assert.equal(schedule.size, model.size);
        assert.equal(first?.dueMs ?? Number.POSITIVE_INFINITY, Math.min(...model.values()));
        if (first) assert.equal(model.get(first.key), first.dueMs);
      }
    }),
    { numRuns: 500 },
  );
});

const minute = 60_000;
const a = [network('web'), endpoint('web', 'a'), joined('web', 'a', 's1'), left('web', 'a'), reported];

test('the steps of a collection, and their times', () => {
  const { world } = given(...a);
  const { facts, generation } = world.endpoint('a');
  const due = (suspectedMs?: number, confirmMs = 5_000) => endpointDue(world.state, facts.id, suspectedMs, confirmMs);
  const suspect = due();
  assert.equal(suspect?.name, `suspect/${facts.id}/${generation}`);
  assert.equal(suspect?.dueMs, startMs + 5 * minute);
  world.nowMs += 5 * minute;
  world.run('SuspectEndpoint', { endpointId: facts.id, generation });
  assert.equal(due(world.nowMs)?.name, `collect/${facts.id}/${generation + 1}`);
  assert.equal(due(world.nowMs)?.dueMs, world.nowMs + 5_000);
  assert.equal(due(world.nowMs, 60 * minute)?.dueMs, world.nowMs + 5 * minute, 'at most the grace period');
  world.run('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's2' });
  assert.equal(due(), null);
  assert.equal(endpointDue(world.state, 'nobody000000', undefined, 1), null);
});

test('the end of a command', () => {
  const { world } = given();
  const id = commandId(startMs, 'x');
  world.run('CreateNetwork', { name: 'web' }, { actor: 'bob', id, deadlineMs: 1_000 });
  assert.deepEqual(commandDue(world.state, `bob ${id}`), {
    name: `expire/bob/${id}`,
    dueMs: startMs + 1_000,
    command: { type: 'ExpireCommand', data: { actor: 'bob', commandId: id } },
    work: { correlationid: id },
  });
  world.succeed();
  assert.equal(commandDue(world.state, `bob ${id}`), null);
});

const due = (name: string): Due => ({
  name,
  dueMs: startMs,
  command: { type: 'CollectEndpoint', data: { endpointId: 'e', generation: 1 } },
});

test('ids: minted when due, the same whoever computes them, another one for each refusal', () => {
  const id = (refusals: number, laterMs = 0) => dueId(due('collect/e1/7'), refusals, startMs + laterMs);
  assert.equal(id(0), commandId(startMs, 'collect/e1/7'));
  assert.equal(id(0, 60_000), id(0));
  assert.equal(id(1), commandId(startMs, 'collect-2/e1/7'));
  for (const refusals of [0, 1, 12]) assert.equal(nameOfId(id(refusals)), 'collect/e1/7');
  const lapsed = nameOfId(dueId(lapseDue('h.1', 3, startMs, 6_000), 2, startMs + 6_000));
  assert.ok(isLapseOf(lapsed, 'h.1', 3));
  assert.ok(!isLapseOf(lapsed, 'h.1', 4) && !isLapseOf(null, 'h.1', 3));
  assert.equal(nameOfId('mhx3k2p1-message/7'), null);
  assert.equal(nameOfId('mhx3k2p1-collectors/7'), null);
});

test('ids are never older than ids may be, however little controllers remember', () => {
  const day = 86_400_000;
  for (const days of [0, 0.4, 0.6, 1, 13.9, 14, 15, 29, 31, 400]) {
    const now = startMs + days * day;
    const id = dueId(due('collect/e1/7'), 0, now);
    assert.ok(mintedMs(id) <= now, `${days} days`);
    assert.equal(checkId(id, now, day), null, `${days} days`);
  }
});

test('ids fit, however long the names are', () => {
  const { world } = given();
  const id = commandId(startMs, 'x'.repeat(150));
  const actor = 'a'.repeat(63);
  world.run('CreateNetwork', { name: 'web' }, { actor, id });
  const long = commandDue(world.state, `${actor} ${id}`);
  assert.ok(long);
  for (const refusals of [0, 1, 99_999]) {
    const made = dueId(long, refusals, startMs);
    assert.ok(CommandId.safeParse(made).success, made);
    assert.equal(nameOfId(made), long.name);
  }
});

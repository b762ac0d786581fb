// What is told of drifts: each once, fights in sum, and what a worker that starts knows of those before it. And when a difference is one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Fact } from '../../events/events.ts';
import type { Finding } from '../../services/worker/drift-finding.ts';
import { isNews } from '../../services/worker/drift-judgement.ts';
import { contestedTimes, DriftMemory, pauseOf } from '../../services/worker/drift-memory.ts';
import { DriftReports } from '../../services/worker/drift-reports.ts';
import { changeOf } from '../../services/worker/drift-text.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { bridge } from '../support/kernel-objects.ts';

const of = { kind: 'network', name: 'web', networkId: 'network00001', endpointId: null, sandbox: null } as const;
const change = { object: 'link cb1', before: 'mtu 1500', after: 'mtu 1400' };

const scene = (memory = new DriftMemory()) => {
  const clock = new FakeClock();
  const facts: Fact[] = [];
  const report = (reports: readonly { readonly fact: Fact }[]) => facts.push(...reports.map(({ fact }) => fact));
  const reports = new DriftReports({ host: 'h1', clock, memory, quietMs: 60_000, report });
  const finding = (policy: Finding['policy'], changes = [change]): Finding => ({
    ...{ key: 'network network00001', of, policy, operations: [], changes },
  });
  const take = () => facts.splice(0).map(({ type, data }) => ('reason' in data ? `${type} ${data.reason}` : type));
  return { clock, reports, finding, take, facts };
};

test('a drift that is repaired is told of once, and so is its repair', () => {
  const { reports, finding, take } = scene();
  reports.detected(finding('repair'), 'notification');
  reports.repaired(finding('repair'), [], []);
  reports.right(new Set(['link cb1']), []);
  assert.deepEqual(take(), ['DriftDetected', 'DriftRepaired']);
});

test('one that is left is told of again only for what is new about it, until it is right', () => {
  const { reports, finding, take } = scene();
  reports.left(finding('report'), 'census');
  reports.left(finding('report'), 'census');
  assert.deepEqual(take(), ['DriftDetected', 'DriftLeft policy']);
  const other = { ...change, object: 'element icc cb1 . cb1' };
  reports.left(finding('report', [change, other]), 'census');
  assert.deepEqual(take(), ['DriftDetected', 'DriftLeft policy']);
  assert.deepEqual(reports.right(new Set(['link cb1']), []), [], 'the other was not looked at');
  assert.deepEqual(reports.right(new Set([other.object, 'link cb1']), []).length, 2);
  assert.deepEqual(take(), ['DriftEnded right']);
});

test('who changes it again and again is met with growing pauses, and told of in sum', async () => {
  const { clock, reports, finding, take } = scene();
  const told: string[] = [];
  for (let times = 1; times <= 12; times++) {
    await clock.advance(pauseOf(times - 1));
    assert.ok(reports.mayRepair(finding('repair')), `repair ${times}`);
    reports.detected(finding('repair'), 'notification');
    reports.repaired(finding('repair'), [], [], ['pid 7 (agent)']);
    told.push(...take());
    assert.equal(reports.mayRepair(finding('repair')), false);
  }
  const each = ['DriftDetected', 'DriftRepaired'];
  const pairs = Array.from({ length: contestedTimes - 1 }, () => each).flat();
  assert.deepEqual(told, [...pairs, 'DriftDetected', 'DriftLeft contested']);
  assert.equal(pauseOf(12), 30_000);
  await clock.advance(60_001);
  reports.tidy({
    networks: new Map([['network00001', { facts: { name: 'web' } }]]),
    shared: { networks: new Map() },
  } as never);
  assert.deepEqual(take(), ['DriftRepaired'], 'it has been quiet');
});

test('a fault is told of once however often the repair is tried', async () => {
  const { clock, reports, finding, take } = scene();
  const operation = { op: 'create', object: bridge(1) } as const;
  const broken = { ...finding('repair'), operations: [operation] };
  const fault = {
    code: 'FOREIGN_OBJECT',
    step: '',
    errno: '',
    text: 'not ours',
    retryable: false,
    undoFaults: [],
  } as const;
  for (let tries = 0; tries < 3; tries++) {
    reports.detected(broken, 'census');
    reports.repaired(broken, [{ id: 'x', operations: [operation] }], [{ ok: false, fault }]);
    await clock.advance(30_000);
  }
  assert.deepEqual(take(), ['DriftDetected', 'DriftLeft fault']);
});

test('a worker that starts knows what is open from the log, and from a segment', () => {
  const first = scene();
  first.reports.left(first.finding('report'), 'census');
  const folded = new DriftMemory();
  for (const fact of first.facts) folded.fold({ ...fact, version: 1, meta: {} } as never);
  const carried = new DriftMemory();
  const [detected] = first.facts;
  assert.ok(detected?.type === 'DriftDetected');
  const row = { ...of, network: 'web', sandbox: null, sandboxIncarnation: null, changes: [change], reason: 'policy' };
  carried.carry({ ...row, drift: detected.data.drift, host: 'h1' } as never);
  for (const memory of [folded, carried]) {
    const { reports, finding, take, facts } = scene(memory);
    reports.left(finding('report'), 'start');
    assert.deepEqual(take(), [], 'it is told of already');
    reports.right(new Set(['link cb1']), []);
    assert.equal(facts.map(({ data }) => ('drift' in data ? data.drift : '')).join(), detected.data.drift);
    assert.deepEqual(take(), ['DriftEnded right']);
  }
});

test('what differs from what was believed is news, and what was to be changed anyway is not', () => {
  const wanted = bridge(1) as KernelObject;
  const other = { ...bridge(1), mtu: 1400 } as KernelObject;
  const believing = (object: KernelObject) => new Map([[objectKey(object), object]]);
  const update = { op: 'update', from: other, object: wanted } as const;
  assert.equal(isNews(update, believing(wanted), {}), true);
  assert.equal(isNews(update, believing(other), {}), false, 'we have not got there yet');
  assert.equal(isNews({ op: 'create', object: wanted }, new Map(), {}), false, 'it was never there');
  assert.equal(isNews({ op: 'delete', object: wanted }, new Map(), {}), true);
  assert.equal(isNews({ op: 'delete', object: wanted }, believing(wanted), {}), false, 'a removal of ours that failed');
});

test('people read what differs, and of what is shown worse than it is, why', () => {
  const wanted = bridge(1);
  const key = objectKey(wanted);
  const update = (found: object) =>
    ({ op: 'update', from: { ...wanted, ...found } as KernelObject, object: wanted }) as const;
  assert.deepEqual(changeOf(update({ mtu: 1400 }), {}), {
    object: key,
    before: `mtu ${wanted.mtu}`,
    after: 'mtu 1400',
  });
  const down = changeOf(update({ addresses: [] }), { remarks: { [key]: 'down' } });
  assert.deepEqual(down, { object: key, before: 'up', after: 'down' });
  assert.equal(changeOf({ op: 'create', object: wanted }, {}).after, 'absent');
});

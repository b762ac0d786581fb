/** What is counted, and the text that Prometheus reads. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Kernel } from '../../drivers/port.ts';
import { controllerMeter } from '../../services/controller/meter.ts';
import { catalogue } from '../../services/lib/metrics/catalogue.ts';
import { expose } from '../../services/lib/metrics/exposition.ts';
import { meteredStream } from '../../services/lib/metrics/metered-stream.ts';
import { Metrics } from '../../services/lib/metrics/metrics.ts';
import type { Append, Stream } from '../../services/lib/stream.ts';
import { observeProjector } from '../../services/projector/meter.ts';
import { meteredKernel, observeWorker } from '../../services/worker/meter.ts';
import { samplesOf } from '../support/exposition.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { memoryStream } from '../support/memory-stream.ts';

describe('metrics', () => {
  it('are counters, gauges that are read, and histograms whose buckets add up', () => {
    const metrics = new Metrics('worker');
    metrics.count('cnm_outcomes_total', { type: 'EndpointJoined' });
    metrics.count('cnm_outcomes_total', { type: 'EndpointJoined' }, 2);
    metrics.count('cnm_outcomes_total', { type: 'EndpointLeft' });
    let sandboxes = 1;
    metrics.gauge('cnm_dns_sandboxes', () => [[{}, sandboxes]]);
    for (const seconds of [0.0001, 0.004, 0.004, 99]) metrics.observe('cnm_kernel_batch_duration_seconds', {}, seconds);
    sandboxes = 7;
    const found = samplesOf(expose(metrics.samples()));
    const of = (key: string) => found.get(key);
    assert.equal(of('cnm_outcomes_total{service="worker",type="EndpointJoined"}'), 3);
    assert.equal(of('cnm_outcomes_total{service="worker",type="EndpointLeft"}'), 1);
    assert.equal(of('cnm_dns_sandboxes{service="worker"}'), 7);
    const bucket = (le: string) => of(`cnm_kernel_batch_duration_seconds_bucket{service="worker",le="${le}"}`);
    // a bound holds what equals it, and each bucket those below it
    assert.deepEqual(
      [bucket('0.0001'), bucket('0.0025'), bucket('0.005'), bucket('30'), bucket('+Inf')],
      [1, 1, 3, 3, 4],
    );
    assert.equal(of('cnm_kernel_batch_duration_seconds_count{service="worker"}'), 4);
    assert.ok(Math.abs((of('cnm_kernel_batch_duration_seconds_sum{service="worker"}') ?? 0) - 99.0081) < 1e-9);
  });

  it('of several services stand under one help and type, and values cannot break the text', () => {
    const [one, other] = [new Metrics('worker'), new Metrics('controller')];
    for (const metrics of [one, other])
      metrics.count('cnm_log_lines_total' as 'cnm_outcomes_total', { type: 'a"b\\c\nd' });
    const text = expose([...one.samples(), ...other.samples()]);
    assert.equal(text.match(/^# TYPE cnm_log_lines_total counter$/gm)?.length, 1);
    assert.ok(text.includes('cnm_log_lines_total{service="worker",type="a\\"b\\\\c\\nd"} 1\n'), text);
    assert.equal(text.split('\n').length, 5);
  });

  it('have names and labels as Prometheus wants them, each with a unit or as a count', () => {
    for (const [name, { type, labels, help }] of Object.entries(catalogue)) {
      assert.match(name, /^(cnm|process)_[a-z_]+$/);
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      if (type === 'histogram') assert.match(name, /_seconds$/);
      for (const label of labels) assert.match(label, /^[a-z]+$/);
      assert.ok(help.length > 10, name);
    }
  });

  it('take no label from what a sender writes', () => {
    const metrics = new Metrics('controller');
    const meter = controllerMeter(metrics);
    for (let n = 0; n < 100; n++) meter.decided(`Made${n}`, 'COMMAND_UNKNOWN');
    meter.decided('CreateNetwork', null);
    const found = samplesOf(expose(metrics.samples()));
    assert.deepEqual(
      [...found],
      [
        [
          'cnm_commands_decided_total{service="controller",command="unknown",result="refused",code="COMMAND_UNKNOWN"}',
          100,
        ],
        ['cnm_commands_decided_total{service="controller",command="CreateNetwork",result="accepted",code=""}', 1],
      ],
    );
  });

  it('of capacity are of the fullest, and of quotas of whoever is nearest to a limit, without a name of anybody', () => {
    const metrics = new Metrics('worker');
    const use = (what: string, ofNetwork: string | null, used: number, limit: number) => {
      return { what, ofNetwork, used, limit, percent: (used / limit) * 100 };
    };
    const capacityUses = [
      use('ports', 'n1', 900, 1_023),
      use('ports', 'n2', 12, 1_023),
      use('addresses', 'n1', 4, 5),
      use('addresses', 'n2', 200, 254),
      use('files', null, 0, 1_000),
    ];
    observeWorker(metrics, { dnsCounts: null, capacityUses });
    const limits = { networks: 4, endpoints: null, addresses: null, ports: 0, rate: null, burst: null };
    const none = { networks: 0, endpoints: 0, addresses: 0, ports: 0, refusedByRate: 0, refusedByQuota: 0 };
    const quota = { ...none, limits: null, changedPosition: 1 };
    const row = { host: 'h1', network: null, saidAt: '', changedPosition: 1 };
    observeProjector(metrics, {
      rows: () => [],
      load: () => ({
        capacity: [70, 0, 99, 70].map((band, at) => ({ ...row, ...use('ports', `n${at}`, band, 100), band })),
        quotas: [
          { ...quota, actor: '*', limits: { ...limits, networks: 10, endpoints: 50, ports: null } },
          { ...quota, actor: 'alice', networks: 1, endpoints: 900, limits, refusedByRate: 7 },
          { ...quota, actor: 'bob', networks: 9, endpoints: 20, refusedByRate: 1, refusedByQuota: 2 },
          { ...quota, actor: 'freed', networks: 99, limits: { ...limits, networks: null, ports: null } },
        ],
      }),
    });
    const found = samplesOf(expose(metrics.samples()));
    const wanted = {
      'cnm_capacity_used{service="worker",what="ports"}': 900,
      'cnm_capacity_limit{service="worker",what="ports"}': 1_023,
      'cnm_capacity_used{service="worker",what="addresses"}': 4,
      'cnm_capacity_limit{service="worker",what="addresses"}': 5,
      'cnm_capacity_used{service="worker",what="files"}': 0,
      'cnm_capacity_limit{service="worker",what="files"}': 1_000,
      'cnm_capacity_pressed{service="worker",band="70"}': 2,
      'cnm_capacity_pressed{service="worker",band="85"}': 0,
      'cnm_capacity_pressed{service="worker",band="95"}': 0,
      'cnm_capacity_pressed{service="worker",band="99"}': 1,
      // alice has a quota of her own, bob that of everybody
      'cnm_quota_used_ratio{service="worker",limit="networks"}': 0.9,
      'cnm_quota_used_ratio{service="worker",limit="endpoints"}': 0.4,
      'cnm_quota_used_ratio{service="worker",limit="ports"}': 1,
      'cnm_quota_refused{service="worker",reason="rate"}': 8,
      'cnm_quota_refused{service="worker",reason="quota"}': 2,
    };
    const told = [...found].filter(([name]) => !name.startsWith('cnm_dns_'));
    assert.deepEqual(Object.fromEntries(told), wanted);
  });

  it('say of each append what became of it', async () => {
    const clock = new FakeClock();
    const metrics = new Metrics('worker');
    const memory = memoryStream('CNM_LOG', { nowMs: () => clock.nowMs() });
    const failing: Stream = { ...memory, append: () => Promise.reject(new Error('closed')) };
    const stream = meteredStream(memory, 'log', metrics, clock);
    const message: Append = { subject: 'cnm.event.host.h1', body: '', id: 'a', expectedLast: 0 };
    assert.equal((await stream.append(message)).kind, 'appended');
    assert.equal((await stream.append({ ...message, id: 'b' })).kind, 'conflict');
    await assert.rejects(meteredStream(failing, 'log', metrics, clock).append(message), /closed/);
    const found = samplesOf(expose(metrics.samples()));
    for (const [result, count] of [
      ['appended', 1],
      ['conflict', 1],
      ['failed', 1],
    ] as const)
      assert.equal(found.get(`cnm_appends_total{service="worker",stream="log",result="${result}"}`), count, result);
    assert.equal(found.get('cnm_append_duration_seconds_count{service="worker",stream="log"}'), 3);
  });

  it('of the kernel change nothing about what is asked of it, and count looks at everything alone', async () => {
    const asked: unknown[] = [];
    const census = async (extent: unknown) => {
      asked.push(extent);
      return { objects: [], unknown: [] };
    };
    const metrics = new Metrics('worker');
    const kernel = meteredKernel({ census } as unknown as Kernel, metrics, new FakeClock());
    const extent = { links: ['a'], namespaces: [], files: [], elements: false };
    await kernel.census(extent);
    await kernel.census();
    assert.deepEqual(asked, [extent, undefined]);
    const found = samplesOf(expose(metrics.samples()));
    assert.equal(found.get('cnm_kernel_census_duration_seconds_count{service="worker"}'), 1);
  });
});

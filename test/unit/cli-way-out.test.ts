// What is said of the way out that a sandbox has without having asked for one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeWayOut, type Member, wayOutAt, wayOutLine } from '../../services/cli/way-out.ts';
import type { Client } from '../../services/client/index.ts';

const member: Member = {
  network: 'span',
  interface: 'eth0',
  origin: 'attach',
  plug: null,
  gateway: { ipv4: false, ipv6: false },
  internal: false,
};
const gateway: Member = { ...member, network: 'cnm-gateway', interface: 'eth1', origin: 'outlet' };
const plugged = (outlet: boolean): Member => ({
  ...member,
  plug: { link: 'vp0', gateway4: null, gateway6: null, routes: [], outlet },
});
const there = 'eth1 on cnm-gateway, since none of its networks leads out of the host';
const follows = 'follows: its plugin leaves it to the host';

test('cli way out: the network that it goes through, or that it follows, or nothing', () => {
  assert.equal(describeWayOut([]), '');
  assert.equal(describeWayOut([member]), '');
  assert.equal(describeWayOut([member, gateway]), there);
  assert.equal(describeWayOut([plugged(true)]), follows);
  assert.equal(describeWayOut([plugged(true), gateway]), there);
  assert.equal(describeWayOut([{ ...plugged(true), internal: true }]), '');
  assert.equal(describeWayOut([plugged(true), plugged(false)]), '');
  assert.equal(describeWayOut([plugged(true), { ...member, gateway: { ipv4: true, ipv6: false } }]), '');
});

/** Views of a sandbox s1 of two incarnations, the second of which has a way out. */
const views = () => {
  const asked: unknown[] = [];
  const row = (id: string, one: Member, sandboxIncarnation: string) => ({
    ...one,
    id,
    sandboxIncarnation,
    networkId: id,
  });
  const rows = [row('e1', plugged(true), 'i1'), row('e2', member, 'i2'), row('e3', gateway, 'i2')];
  const client = {
    endpoints: async (query: unknown) => {
      asked.push(query);
      return { position: 9, rows };
    },
    networks: async (query: unknown) => {
      asked.push(query);
      return { position: 9, rows: [] };
    },
  } as unknown as Client;
  return { client, asked };
};

test('cli way out: of the sandbox that is meant, at the position that is shown', async () => {
  const { client, asked } = views();
  assert.equal(await wayOutAt(client, { id: 's1', incarnation: 'i2' }, 7), there);
  assert.equal(await wayOutAt(client, { id: 's1', incarnation: 'i1' }, 7), follows);
  assert.deepEqual(asked[0], { filter: { sandbox: 's1' }, asOf: 7 });
});

test('cli way out: a line of the answer, and none where the views are away', async () => {
  const { client } = views();
  const outcome = (id: string) =>
    ({ position: 7, sandbox: { id: 's1', key: '/k' }, endpoints: [{ id }] }) as unknown as Parameters<
      typeof wayOutLine
    >[1];
  assert.equal(await wayOutLine(client, outcome('e2')), `  way out ${there}\n`);
  assert.equal(await wayOutLine(client, outcome('e1')), `  way out ${follows}\n`);
  assert.equal(await wayOutLine(client, { ...outcome('e1'), sandbox: null }), '');
  const away = { endpoints: () => Promise.reject(new Error('away')) } as unknown as Client;
  assert.equal(await wayOutLine(away, outcome('e1')), '');
});

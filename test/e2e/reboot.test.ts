// A host whose power goes under 200 endpoints (pains 22 and 31): another boot id, no kernel object left, the run directory gone, and of the data what was
// synced, as far as this machine has a disk for that. Of the sandboxes a third is made again, a third released, a third held; one is in a namespace
// that its caller had made, which is gone with the boot.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { CommandData } from '../../events/commands.ts';
import { type Client, connect } from '../../services/client/index.ts';
import { Disk } from '../support/crash/disk.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh, succeedsIn } from '../support/netns.ts';
import { makePlace, type Place, type Running } from './cli-harness.ts';

const COUNT = 200;
const policies = ['recreate', 'release', 3_600_000] as const;
type Policy = CommandData<'AttachSandbox'>['afterReboot'];

if (inOwnNamespaces(import.meta.filename)) {
  describe(`a host that is booted anew under ${COUNT} endpoints`, () => {
    let place: Place;
    let up: Running;
    let client: Client;
    let boot = 0;
    const { opened: disk, reason } = Disk.openIfAny();
    /** Of a sandbox, as its attach was answered. */
    const given = new Map<string, { readonly policy: Policy; readonly ipv4: string; readonly mac: string }>();
    const of = (policy: Policy): readonly string[] =>
      [...given].flatMap(([sandbox, one]) => (one.policy === policy ? [sandbox] : []));
    const keyOf = (sandbox: string): string => join(place.folder, 'run', 'e2e-h1', 'netns', sandbox);
    const bootId = (): string => `00000000-0000-4000-8000-00000000000${boot}`;

    const start = async (): Promise<void> => {
      boot += 1;
      writeFileSync(join(place.folder, 'boot_id'), `${bootId()}\n`);
      up = await place.up();
      client = await connect({ url: up.url, actor: 'scheduler' });
    };
    const cmdlineOf = (pid: string): string => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    };
    /** Power is gone: nothing of the kernel is left, nor of what lies in /run, nor of what was not synced. */
    const powerOff = async (): Promise<void> => {
      const server = readFileSync(join(place.env.CNM_DATA_DIR ?? '', 'nats.pid'), 'utf8').trim();
      process.kill(Number(server), 'SIGKILL');
      await up.end('SIGKILL');
      await waitFor(() => cmdlineOf(server) === '', { what: 'nats-server to be gone' });
      disk?.cut('missing tails');
      await client.close();
      sh(`awk '$2 ~ "^${place.folder}/run" {print $2}' /proc/mounts | tac | xargs -r umount -l`);
      rmSync(join(place.folder, 'run'), { recursive: true, force: true });
      sh('nft flush ruleset');
      // The other end of a pair goes with the one.
      for (const { ifname } of ipLinks()) sh(`ip link del ${ifname} 2>/dev/null || true`);
      sh('umount -l /run/guest');
      await waitFor(() => ipLinks().length === 1, { what: 'loopback alone' });
    };
    const attach = async (sandbox: string, afterReboot: Policy, more: { hostPort?: number; netns?: string } = {}) => {
      const { hostPort, netns } = more;
      const accepted = await client.attachSandbox({
        sandbox,
        ...(afterReboot === undefined ? {} : { afterReboot }),
        ...(netns === undefined ? {} : { netns }),
        networks: [{ network: 'web', ports: hostPort === undefined ? [] : [{ hostPort, port: 80 }] }],
      });
      const { status, endpoints, fault } = await accepted.outcome;
      assert.equal(status, 'succeeded', JSON.stringify(fault));
      return { ipv4: endpoints[0]?.ipv4?.split('/')[0] ?? '', mac: endpoints[0]?.mac ?? '' };
    };
    const events = async (type: string): Promise<readonly { readonly data: unknown }[]> => {
      const found: { readonly data: unknown }[] = [];
      for (let after: string | undefined, isMore = true; isMore; ) {
        const page = await client.events({ filter: { type }, ...(after === undefined ? {} : { after }) });
        found.push(...page.rows);
        after = page.next;
        isMore = after !== undefined;
      }
      return found;
    };

    before(async () => {
      sh('mount --make-rprivate / && mount -t tmpfs tmpfs /run && ip link set lo up && mkdir /run/netns');
      place = makePlace({ env: disk === null ? {} : { CNM_DATA_DIR: join(disk.folder, 'data') } });
      writeFileSync(join(place.folder, 'boot_id'), '');
      sh(`mount --bind ${join(place.folder, 'boot_id')} /proc/sys/kernel/random/boot_id`);
      await start();
      sh('touch /run/guest && unshare --net=/run/guest true');
    });
    after(async () => {
      await client.close();
      await up.end();
      place.remove();
      disk?.close();
    });

    test('attaches them', async (t) => {
      if (disk === null) t.diagnostic(`what was not synced stays: ${reason}`);
      await (await client.createNetwork({ name: 'web', ipam: { subnets: [{ subnet: '10.88.0.0/23' }] } })).outcome;
      const all = Array.from({ length: COUNT - 1 }, async (_, index) => {
        const policy = policies[index % policies.length];
        given.set(`c${index}`, { policy, ...(await attach(`c${index}`, policy, { hostPort: 20_000 + index })) });
      });
      await Promise.all(all);
      await attach('guest', undefined, { netns: '/run/guest' });
    });

    test('makes again, releases and holds, as was asked for, and says so with the boot', async () => {
      await powerOff();
      await start();
      const [again, released, held] = [of('recreate'), of('release'), of(3_600_000)];
      await waitFor(async () => (await events('SandboxRestored')).length === again.length, {
        what: 'those to be there again',
        timeoutMs: 30_000,
      });
      for (const sandbox of again) {
        const { ipv4, mac } = given.get(sandbox) ?? { ipv4: '', mac: '' };
        assert.ok(
          succeedsIn(keyOf(sandbox), `ip -o link | grep -q ${mac} && ip -o addr | grep -q ' ${ipv4}/'`),
          `${sandbox} has ${ipv4} and ${mac}`,
        );
      }
      sh(`ping -c 1 -W 2 ${given.get(again[0] ?? '')?.ipv4}`);
      await waitFor(async () => (await client.sandboxes()).rows.length === again.length + held.length, {
        what: 'those to be released',
        timeoutMs: 30_000,
      });
      const lost = await events('SandboxLost');
      assert.equal(lost.length, released.length + held.length + 1);
      const guests = lost.filter(({ data }) => (data as { readonly reason: string }).reason === 'namespace');
      assert.equal(guests.length, 1, 'the one in a namespace of its caller');
      for (const { data } of [...lost, ...(await events('SandboxRestored'))])
        assert.equal((data as { bootId: string }).bootId, bootId());
      for (const sandbox of held)
        assert.ok(
          !sh(`ls ${keyOf('')}`)
            .split('\n')
            .includes(sandbox),
          `${sandbox} is not there`,
        );
    });

    test('what was released is free, what is held is not, until somebody wants it back', async () => {
      const [released = '', held = ''] = [of('release')[0], of(3_600_000)[0]];
      const index = (sandbox: string) => Number(sandbox.slice(1));
      await attach(released, undefined, { hostPort: 20_000 + index(released) });
      await assert.rejects(attach('other', undefined, { hostPort: 20_000 + index(held) }), /PORT_IN_USE/);
      assert.equal(place.cnm('sandbox', 'restore', held).exit, 0);
      const { ipv4 = '', mac = '' } = given.get(held) ?? {};
      await waitFor(() => succeedsIn(keyOf(held), `ip -o addr | grep -q ' ${ipv4}/' && ip -o link | grep -q ${mac}`), {
        what: 'it to be there again',
      });
      assert.equal(place.cnm('sandbox', 'detach', held).exit, 0);
    });
  });
}

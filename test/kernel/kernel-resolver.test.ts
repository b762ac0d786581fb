/** Queries inside a sandbox arrive at sockets that are served outside of it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { KernelObject, Resolver } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import { byKey, create, network, owner, remove, sandbox, tag, veth } from '../support/kernel-objects.ts';
import { LinuxLab } from '../support/linux-lab.ts';
import { inOwnNamespaces, ipLinks, sh, shIn } from '../support/netns.ts';

/** Sends a word by UDP and by TCP, and prints what comes back. */
const client = (address: string): string => `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (text, { address, port }) => {
    console.log('udp ' + text + ' from ' + address + ':' + port);
    socket.close();
    const stream = require('node:net').connect(53, '${address}', () => stream.end('word'));
    stream.on('data', (text) => console.log('tcp ' + text));
  });
  socket.on('error', (error) => console.log(error.code));
  socket.send('word', 53, '${address}');
  setTimeout(() => process.exit(), 3000).unref();`;

/** Binds port 53 of every address, as a program in a container may. */
const holder = `
  const socket = require('node:dgram').createSocket('udp4').bind(53, () =>
    require('node:net').createServer().listen(53, '0.0.0.0', () => console.log('bound')));
  socket.on('message', (text, { port, address }) => socket.send('theirs', port, address));`;

interface Served {
  readonly close: () => Promise<void>;
}

/** Answers every query with itself and a mark. */
const serve = async (udp: number, tcp: number): Promise<Served> => {
  const socket = createSocket('udp4');
  socket.on('message', (text, { address, port }) => socket.send(`${text} ours`, port, address));
  const server = createServer((connection) => connection.on('data', (text) => connection.end(`${text} ours`)));
  const listening = [once(socket, 'listening'), once(server, 'listening')];
  socket.bind({ fd: udp, exclusive: true });
  server.listen({ fd: tcp });
  await Promise.all(listening);
  return {
    close: async () => {
      const closed = [once(socket, 'close'), once(server, 'close')];
      socket.close();
      server.close();
      await Promise.all(closed);
    },
  };
};

const port = 15353;

const until = async (isSo: () => boolean): Promise<void> => {
  for (let look = 0; !isSo() && look < 100; look++) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(isSo());
};

const resolverSuite = (title: string, ahead: { readonly resolverPort?: number }): void => {
  describe(title, () => {
    let lab: LinuxLab;
    let served: Served | null = null;
    const children: ChildProcess[] = [];
    const path = (name: string): string => lab.path(name);
    const resolver = (name: string): Resolver => ({
      kind: 'resolver',
      netns: path(name),
      port,
      tag: tag('sandbox', name),
    });
    const box = (): readonly KernelObject[] => [
      ...sandbox('s2', { network: 1, number: 2, netns: path('s2') }),
      resolver('s2'),
    ];
    const start = async (): Promise<void> => {
      const opened = await lab.kernel.openResolver(path('s2'), port);
      assert.ok(opened.ok, JSON.stringify(opened));
      served = await serve(opened.udp, opened.tcp);
    };
    const inside = async (script: string): Promise<string> => {
      const child = spawn('nsenter', [`--net=${path('s2')}`, process.execPath, '--eval', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      await Promise.race([once(child, 'exit'), script === holder ? once(child.stdout, 'data') : once(child, 'close')]);
      return text;
    };
    const answers = `udp word ours from 127.0.0.11:53\ntcp word ours\n`;

    beforeEach(async () => {
      lab = await LinuxLab.open(ahead);
      await lab.apply(create('net', network(1)), create('box', box()));
      await start();
    });
    afterEach(async () => {
      for (const child of children.splice(0)) child.kill('SIGKILL');
      await served?.close();
      await lab.close();
    });

    it('answers at 127.0.0.11 port 53, by UDP and TCP, from where it was asked', async () => {
      assert.equal(await inside(client('127.0.0.11')), answers);
    });

    it('leaves port 53 to whoever wants it in the sandbox', async () => {
      assert.equal(await inside(holder), 'bound\n');
      assert.equal(await inside(client('127.0.0.11')), answers);
      assert.match(await inside(client('127.0.0.1')), /^udp theirs from 127.0.0.1:53\n/);
    });

    it('is put right when somebody in the sandbox clears its rules', async () => {
      const wanted = [...network(1), ...box()];
      shIn(path('s2'), 'nft flush ruleset');
      assert.equal(await inside(client('127.0.0.11')), '');
      const operations = diff(wanted, (await lab.kernel.census()).objects);
      assert.deepEqual(
        operations.map(({ op, object }) => `${op} ${object.kind}`),
        ['create resolver'],
      );
      await lab.apply({ id: 'repair', operations });
      assert.equal(await inside(client('127.0.0.11')), answers);
      const table = `inet ${tableName(owner.realm, owner.host)}_resolver`;
      const handle = /handle (\d+)$/m.exec(shIn(path('s2'), `nft -a list chain ${table} output | grep tcp`))?.[1];
      shIn(path('s2'), `nft delete rule ${table} output handle ${handle}`);
      await lab.apply({ id: 'repair', operations: diff(wanted, (await lab.kernel.census()).objects) });
      assert.equal(await inside(client('127.0.0.11')), answers);
    });

    it('serves again after the process that served has ended', async () => {
      await served?.close();
      await lab.kernel.close();
      await lab.start(ahead);
      await start();
      assert.equal(await inside(client('127.0.0.11')), answers);
    });

    it('says why sockets cannot be opened', async () => {
      const second = await lab.kernel.openResolver(path('s2'), port);
      assert.ok(!second.ok);
      assert.deepEqual(
        [second.fault.code, second.fault.errno, second.fault.text],
        ['KERNEL_ERROR', 'EADDRINUSE', `bind 127.0.0.11:${port} failed`],
      );
    });

    it('is found at another port once that was changed, and not at all once it was removed', async () => {
      const [before, after] = [resolver('s3'), { ...resolver('s3'), port: port + 1 }];
      await lab.apply(create('box', [...sandbox('s3', { network: 1, number: 3, netns: path('s3') }), before]));
      await lab.apply({ id: 'move', operations: [{ op: 'update', from: before, object: after }] });
      const { objects } = await lab.kernel.census();
      assert.deepEqual(byKey(objects.filter(({ kind }) => kind === 'resolver')), [resolver('s2'), after]);
      const opened = await lab.kernel.openResolver(path('s3'), port + 1);
      assert.ok(opened.ok);
      closeSync(opened.udp);
      closeSync(opened.tcp);
      await lab.apply(remove('resolver', [after]));
      assert.equal(shIn(path('s3'), 'nft list ruleset; ss -Hlntu'), '');
    });

    it('keeps no namespace whose sockets nobody has asked for', async () => {
      const join = { network: 1, number: 3, netns: path('s3') };
      const objects = [...sandbox('s3', join), resolver('s3')];
      const missing = create('', [veth({ network: 7, number: 9, netns: '/nowhere' })]).operations;
      for (const plan of [remove('box', objects), { id: 'x', operations: missing }]) {
        const isUndone = plan.id === 'x';
        const made = create('box', objects);
        const [result] = await lab.kernel.apply([
          isUndone ? { ...made, operations: [...made.operations, ...missing] } : made,
        ]);
        assert.equal(result?.ok, !isUndone);
        if (!isUndone) {
          sh(`ip link add witness type veth peer name inside; ip link set inside netns ${path('s3')}`);
          await lab.apply(plan);
        }
        await lab.kernel.settled();
        await until(() => !ipLinks().some(({ ifname }) => ifname === 'witness'));
      }
      const opened = await lab.kernel.openResolver(path('s3'), port);
      assert.ok(!opened.ok && opened.fault.code === 'NETNS_UNUSABLE');
    });

    it('lets go of the namespace when its sockets are closed', async () => {
      // An interface of somebody else: it goes with the namespace, and not before.
      sh(`ip link add witness type veth peer name inside; ip link set inside netns ${path('s2')}`);
      const isThere = (): boolean => ipLinks().some(({ ifname }) => ifname === 'witness');
      await lab.apply(remove('box', box()));
      await lab.kernel.settled();
      assert.ok(isThere());
      await served?.close();
      served = null;
      await until(() => !isThere());
    });
  });
};

if (inOwnNamespaces(import.meta.filename)) {
  resolverSuite('the resolver', {});
  resolverSuite('the resolver, made ahead', { resolverPort: port });
}

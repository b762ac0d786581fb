/**
 * Commands of anybody, from the bytes on their subject over the rules to the objects that a worker would make of them: nothing escapes the run
 * directory or the directories that callers' namespaces may lie in, and no text says more than one line in a file or a name in the kernel.
 */
import assert from 'node:assert/strict';
import { resolve, sep } from 'node:path';
import { formatTag, type KernelObject, parseTag } from '../../../drivers/objects.ts';
import { drivers } from '../../../drivers/registry.ts';
import { takeIn } from '../../../services/controller/intake.ts';
import { settledObjects } from '../../../services/worker/census.ts';
import { World } from '../../support/world.ts';
import { goldenCommands } from '../golden.ts';
import { json, mutatedJson, mutatedText, type Random, text } from '../random.ts';
import { richCommands } from '../rich-commands.ts';
import type { Target } from '../target.ts';

const runDir = '/run/cnm/h1';
const roots = ['/run', '/var/run', '/proc'];
/** A world this old begins anew: what is looked at grows with it. */
const AGE_MAX = 120;

const isBelow = (path: string, root: string): boolean => resolve(path) === path && path.startsWith(root + sep);

const LINES: Readonly<Record<string, RegExp>> = {
  hosts: /^[0-9a-f:.]+\t[^\s]+( [^\s]+)*$/,
  hostname: /^[^\s]+$/,
  'resolv.conf': /^(#.*|nameserver [0-9a-f:.%\w]+|search [^\s]+( [^\s]+)*|options [^\s]+( [^\s]+)*)$/,
};

const assertFile = (path: string, content: string): void => {
  assert.ok(isBelow(path, `${runDir}/files`), `a file at ${path}`);
  const line = LINES[path.slice(path.lastIndexOf('/') + 1)];
  assert.ok(line, `a file called ${path}`);
  for (const one of content.trimEnd().split('\n')) assert.match(one, line, path);
  assert.doesNotMatch(content, /[\0\r]/);
};

/** IFNAMSIZ and dev_valid_name(). */
const LINK = /^(?!\.{1,2}$)[^\s/:\0]{1,15}$/;

const assertObject = (object: KernelObject): void => {
  assert.deepEqual(parseTag(formatTag(object.tag)), object.tag, 'its owner is read back');
  if (object.kind === 'netns')
    assert.ok(
      object.owned ? isBelow(object.path, `${runDir}/netns`) : roots.some((root) => isBelow(object.path, root)),
      `a namespace at ${object.path}`,
    );
  else if (object.kind === 'file') assertFile(object.path, object.content);
  else {
    if ('name' in object && typeof object.name === 'string') assert.match(object.name, LINK);
    if ('bridge' in object && typeof object.bridge === 'string') assert.match(object.bridge, LINK);
    if (object.kind === 'veth') {
      assert.match(object.peer.name, LINK);
      for (const [name, value] of Object.entries(object.birth.sysctls)) {
        assert.match(name, /^net\.[a-z0-9_.]+\.IFNAME\.[a-z0-9_]+$/);
        assert.doesNotMatch(String(value), /[\0\n]/);
      }
    }
  }
};

export const commands: Target = {
  name: 'commands',
  share: 24,
  span: AGE_MAX,
  start: () => {
    const good = [...goldenCommands(), ...richCommands, ...richCommands];
    const host = { realm: 'test', host: 'h1', underlay: null };
    const resolvConf = () => ({ servers: ['192.0.2.53'], search: [], options: [] });
    const deployment = { host, drivers, resolvConf };
    const encoder = new TextEncoder();
    let world = new World();
    let age = 0;
    return (random: Random) => {
      if (age++ % AGE_MAX === 0) {
        world = new World();
        for (const name of ['web', 'back'])
          world.run(
            'CreateNetwork',
            name === 'back' ? { name, ipam: { subnets: [{ subnet: '10.9.0.0/24' }] } } : { name },
          );
        world.succeed();
      }
      world.nowMs += 1000;
      const golden = random.pick(good);
      const changed = random.chance(0.92) ? mutatedJson(random, golden, 1 + random.below(2)) : json(random);
      const written = JSON.stringify(random.chance(0.3) ? golden : changed) ?? '';
      const body = random.chance(0.05) ? mutatedText(random, written) : written;
      const subject = random.chance(0.9) ? 'cnm.command.alice.h1' : `cnm.command.${text(random)}.h1`;
      const header = (): string =>
        random.chance(0.5) ? '' : mutatedText(random, `00-${'4b'.repeat(16)}-${'00'.repeat(8)}-01`);
      const message = { position: age, recordedMs: world.nowMs, subject, body: encoder.encode(body), header };
      const { command, actor, id, type } = takeIn(message as never);
      assert.ok(actor !== '' && id !== '' && typeof type === 'string');
      if (!command.ok) {
        assert.match(command.code, /^[A-Z_]+$/);
        return;
      }
      const { value } = command;
      const decision = world.decide(value.type, value.data as never, { actor });
      if (!decision.ok) {
        assert.match(decision.code, /^[A-Z_]+$/);
        return;
      }
      world.recordAll(decision.facts, { type: value.type, actor, id: value.id ?? id });
      if (random.chance(0.8)) world.succeed();
      for (const object of settledObjects(world.state, deployment)) assertObject(object);
    };
  },
};

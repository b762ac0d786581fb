/** Names as tokens, settings, addresses, and words of the command line. */
import assert from 'node:assert/strict';
import { parseAddress, parseCidr, parseMac } from '../../../drivers/kernel/address.ts';
import { parseTag } from '../../../drivers/objects.ts';
import { parseSubnet } from '../../../events/ip.ts';
import { Actor, decodeToken, encodeToken, HostName, parseCommandSubject, subjects } from '../../../events/names.ts';
import { parseAttachment, parseExtraHost, parseRoute, parseService } from '../../../services/cli/endpoint-values.ts';
import { parsePort } from '../../../services/cli/port-values.ts';
import { parseCall, type Spec } from '../../../services/cli/spec.ts';
import { parseDuration, parseMoment, parsePairs } from '../../../services/cli/values.ts';
import { readConfig, variables } from '../../../services/lib/config.ts';
import { publicUrl } from '../../../services/nats/public-url.ts';
import { mutatedText, type Random, text } from '../random.ts';
import { answers, named, type Target } from '../target.ts';

const TOKEN = /^[^\s.*>]+$/;

export const names: Target = {
  name: 'names',
  share: 6,
  start: () => (random: Random) => {
    const name = text(random);
    const token = encodeToken(name);
    if (name !== '') assert.match(token, TOKEN);
    // what is no Unicode has no token that stands for it; everything else comes back
    if (name !== '' && name.isWellFormed() && !name.includes('\ufeff')) assert.equal(decodeToken(token), name);
    const decoded = decodeToken(text(random));
    if (decoded !== null) assert.equal(decodeToken(encodeToken(decoded)), decoded);
    const subject = mutatedText(
      random,
      random.pick(['cnm.command.alice.h1', 'cnm.command.worker=3Ah1._', 'cnm.command.a.b.c']),
    );
    const parsed = parseCommandSubject(subject);
    if (parsed !== null) {
      assert.ok(
        Actor.safeParse(parsed.actor).success && (parsed.host === null || HostName.safeParse(parsed.host).success),
      );
      assert.equal(subjects.command(parsed.actor, parsed.host), subject, 'one subject a name');
    }
    for (const schema of [Actor, HostName]) {
      const checked = schema.safeParse(name);
      if (checked.success) assert.doesNotMatch(checked.data, /[\s/\0]|^\.{1,2}$/);
    }
    parseTag(mutatedText(random, 'cnm:test:h1:network:abc'));
    parseSubnet(mutatedText(random, '10.9.0.0/24'));
    const isTold = (error: Error): boolean =>
      error.name === 'KernelFailure' ||
      error.constructor === Error ||
      error instanceof TypeError ||
      error instanceof RangeError;
    for (const parse of [parseAddress, parseMac]) answers(() => parse(mutatedText(random, '10.9.0.1')), isTold);
    answers(() => parseCidr(mutatedText(random, 'fd00::1/64')), isTold);
  },
};

export const settings: Target = {
  name: 'settings',
  share: 2,
  start: () => {
    const known = Object.keys(variables);
    return (random: Random) => {
      const env = Object.fromEntries(
        Array.from({ length: 1 + random.below(3) }, () => [random.pick(known), text(random)]),
      );
      const read = readConfig(env);
      if (!read.ok) assert.ok(read.problems.length > 0);
      const url = mutatedText(random, 'nats://cnm:secret@127.0.0.1:4222');
      if (url.startsWith('nats://cnm:secret@')) assert.ok(!publicUrl(url).includes('secret@'));
    };
  },
};

const spec: Spec = {
  path: 'sandbox attach',
  args: ['NAME', '[CMD...]'],
  summary: '',
  options: {
    network: { value: 'X', multiple: true, help: '' },
    yes: { help: '' },
    publish: { short: 'p', value: 'P', help: '' },
  },
  run: async () => undefined,
};

export const cli: Target = {
  name: 'cli',
  share: 4,
  start: () => {
    const parsers: readonly (readonly [string, (text: string) => unknown])[] = [
      ['10s', (one) => parseDuration(one, '--x')],
      ['2026-11-21T00:00:00Z', parseMoment],
      ['a=b', (one) => parsePairs([one], '--x')],
      ['web:ip=10.9.0.5,alias=www', parseAttachment],
      ['0.0.0.0:8080:80/tcp', parsePort],
      ['db:10.0.0.1', parseExtraHost],
      ['10.0.0.0/8:10.9.0.1', parseRoute],
      ['80/tcp', parseService],
    ];
    return (random: Random) => {
      const words = Array.from({ length: random.below(5) }, () =>
        random.chance(0.4) ? random.pick(['--network', '-p', '--yes', '--', '--network=x']) : text(random),
      );
      answers(() => parseCall(spec, words), named('UsageError'));
      const [good, parse] = random.pick(parsers);
      answers(() => parse(mutatedText(random, good)), named('UsageError'));
    };
  },
};

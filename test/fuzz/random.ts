/** Random inputs out of a seed: numbers, nasty texts, and what becomes of good bytes and good JSON when somebody has been at them. */

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(part: number): boolean {
    return this.next() < part;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** What has broken programs before: paths, line ends, controls, shells, other syntaxes, prototypes, numbers, sizes. */
export const nasty: readonly string[] = [
  ...[
    '',
    '.',
    '..',
    '/',
    '../..',
    '../../../etc/passwd',
    '/etc/passwd',
    '/proc/self/environ',
    '/run/../etc',
    'a/../../b',
    './x',
  ],
  ...[
    '/run/netns/x/../../../etc/shadow',
    '/proc/1/ns/net',
    '/run//x',
    '/run/\0/etc',
    'x\0y',
    'a\nb',
    'a\r\nb',
    '\n127.0.0.1 evil',
  ],
  ...[
    '\t',
    ' ',
    'a b',
    '\u001b[31m',
    '\u007f',
    '\u0085',
    '\u2028',
    '\u202e',
    '\ufeff',
    '\ud800',
    'ä',
    '漢',
    '😀',
    'İ',
    'ß',
    'ﬀ',
  ],
  ...[
    '*',
    '>',
    'a.b',
    'a.*',
    '=',
    '=5F',
    '=zz',
    '=2E=2E',
    '_',
    '-',
    '--',
    '-x',
    '--rm',
    '%2e%2e%2f',
    '%s%n',
    '$(id)',
    '`id`',
    ';id',
    '|',
    '&',
  ],
  ...[
    '"',
    "'",
    '\\',
    '"}',
    '} drop',
    'accept; drop',
    '{ type filter }',
    '#',
    '@',
    ':',
    '::',
    'cnm:',
    'cnm:a:b:c:d',
    'cnm:test:h1:network:x',
  ],
  ...[
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'null',
    'undefined',
    'true',
    '0',
    '-0',
    '-1',
    '1e999',
    'NaN',
    '0x10',
  ],
  ...[
    'eth0',
    'lo',
    'all',
    'default',
    'host',
    'none',
    'host-gateway',
    'localhost',
    '0.0.0.0',
    '0.0.0.0/0',
    '255.255.255.255',
    '127.0.0.1',
    '10.0.0.1/33',
  ],
  ...[
    '::',
    '::1',
    '::/0',
    'fe80::1',
    'fe80::1%eth0',
    'fd00::/8',
    '::ffff:1.2.3.4',
    '1.2.3',
    '1.2.3.4.5',
    '01.02.03.04',
    '10.0.0.0/8',
    '224.0.0.1',
  ],
  ...[
    '02:42:0a:00:00:01',
    'ff:ff:ff:ff:ff:ff',
    '00:00:00:00:00:00',
    '01:00:5e:00:00:01',
    '02-42-0a-00-00-01',
    '2026-11-21T00:00:00Z',
    '9999-99-99',
  ],
  ...[
    'a'.repeat(15),
    'a'.repeat(16),
    'a'.repeat(63),
    'a'.repeat(64),
    'a'.repeat(255),
    'a'.repeat(4096),
    '.'.repeat(300),
    `${'a.'.repeat(130)}a`,
  ],
];

const numbers = [
  0,
  -0,
  -1,
  1,
  0.5,
  1e21,
  -1e308,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 53 + 2,
  -(2 ** 31) - 1,
  1023,
  4095,
  68,
];

export const text = (random: Random): string => {
  const one = random.pick(nasty);
  if (random.chance(0.6)) return one;
  if (random.chance(0.5)) return one + random.pick(nasty);
  return Array.from({ length: random.below(24) }, () =>
    String.fromCharCode(random.below(random.chance(0.8) ? 128 : 0x1_0000)),
  ).join('');
};

/** A text that was good, with something done to it. */
export const mutatedText = (random: Random, good: string): string => {
  const at = random.below(good.length + 1);
  switch (random.below(5)) {
    case 0:
      return text(random);
    case 1:
      return good.slice(0, at) + text(random) + good.slice(at);
    case 2:
      return good.slice(0, at);
    case 3:
      return good.slice(0, at) + String.fromCharCode(random.below(256)) + good.slice(at + 1);
    default:
      return good + good.slice(at);
  }
};

/** Any JSON, a few levels deep. */
export const json = (random: Random, depth = 3): unknown => {
  switch (random.below(depth > 0 ? 8 : 5)) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
      return random.pick(numbers);
    case 2:
    case 3:
    case 4:
      return text(random);
    case 5:
      return Array.from({ length: random.below(4) }, () => json(random, depth - 1));
    default:
      return Object.fromEntries(Array.from({ length: random.below(4) }, () => [text(random), json(random, depth - 1)]));
  }
};

/** Good JSON with `changes` of its places changed: another text of the kind, another kind, nothing, twice, more. */
export const mutatedJson = (random: Random, good: unknown, changes = 1 + random.below(3)): unknown => {
  const copy = structuredClone(good);
  const holder = { '': copy };
  for (let change = 0; change < changes; change++) mutatePlace(random, holder);
  return holder[''];
};

const mutatePlace = (random: Random, root: object): void => {
  const places: [object, string][] = [];
  const walk = (value: object): void => {
    for (const key of Object.keys(value)) {
      places.push([value, key]);
      const inner = (value as Record<string, unknown>)[key];
      if (typeof inner === 'object' && inner !== null) walk(inner);
    }
  };
  walk(root);
  const [holder, key] = random.pick(places);
  const slots = holder as Record<string, unknown>;
  const value = slots[key];
  if (typeof value === 'string' && random.chance(0.7)) slots[key] = mutatedText(random, value);
  else if (typeof value === 'number' && random.chance(0.6)) slots[key] = random.pick(numbers);
  else if (Array.isArray(value) && random.chance(0.6))
    slots[key] = [...value, ...value, ...(random.chance(0.3) ? [json(random, 1)] : [])];
  else if (random.chance(0.25) && key !== '') delete slots[key];
  else if (random.chance(0.2) && typeof value === 'object' && value !== null)
    (value as Record<string, unknown>)[text(random)] = json(random, 2);
  else slots[key] = json(random, 2);
};

/** Good bytes, with some changed, cut, doubled, or their lengths made large. */
export const mutatedBytes = (random: Random, good: Uint8Array): Uint8Array => {
  if (random.chance(0.05)) return Uint8Array.from({ length: random.below(200) }, () => random.below(256));
  let bytes = Uint8Array.from(good);
  const changes = 1 + random.below(4);
  for (let change = 0; change < changes && bytes.length > 0; change++) {
    const at = random.below(bytes.length);
    switch (random.below(5)) {
      case 0:
        bytes[at] = random.below(256);
        break;
      case 1:
        bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, 0xc0]);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(random.below(bytes.length))]);
        break;
      default:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return bytes;
};

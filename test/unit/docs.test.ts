/** What is generated is what is committed, and what the documents say of messages is so. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { documents, root } from '../../docs/generate/documents.ts';
import type { JsonSchema } from '../../docs/generate/json-schema.ts';
import { sample, samplePart } from '../../docs/generate/samples.ts';
import { rowFields } from '../../docs/generate/views-page.ts';
import { commandName, eventName } from '../../events/catalogue.ts';
import { commandTypes } from '../../events/commands.ts';
import { commitHeaders } from '../../events/envelope.ts';
import { type EventType, eventData } from '../../events/events.ts';
import { commandId, decodeToken, encodeToken, mintedMs } from '../../events/names.ts';
import { viewNames } from '../../events/queries.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { problemsOf, resolveRef } from '../support/json-schema.ts';

const generated = documents();
const text = (file: string): string => readFileSync(join(root, file), 'utf8');
const parsed = (file: string): JsonSchema => JSON.parse(text(file));

describe('generated documents', () => {
  for (const [file, wanted] of generated) {
    it(`${file} is up to date (else: npm run docs)`, () => {
      // not assert.equal: the difference of two large texts takes minutes to print
      assert.ok(text(file) === wanted, `${file} is not what docs/generate.ts makes of the sources: npm run docs`);
    });
  }

  it('are all that lies in docs/generated', () => {
    const committed = readdirSync(join(root, 'docs/generated')).map((file) => `docs/generated/${file}`);
    assert.deepEqual(committed.sort(), [...generated.keys()].filter((file) => file.includes('/generated/')).sort());
  });

  it('name every event and every command', () => {
    for (const type of Object.keys(eventData) as EventType[])
      assert.ok(text('docs/events.md').includes(`### ${eventName(type)}\n`), type);
    for (const type of commandTypes) assert.ok(text('docs/commands.md').includes(`## ${commandName(type)}\n`), type);
  });

  it('list exactly the fields that rows of views have', () => {
    for (const view of viewNames) {
      const row = samplePart(`queries/${view}`, ['answer', 'rows', '0']) as object;
      assert.deepEqual([...rowFields(view)].sort(), Object.keys(row).sort(), view);
    }
  });
});

describe('JSON Schemas', () => {
  const schemas = parsed('docs/generated/schemas.json');
  const check = (name: string, value: unknown): readonly string[] =>
    problemsOf({ $ref: `#/definitions/${name}` }, value, schemas);
  const changed = (name: string, change: object): unknown => ({ ...(sample(name) as object), ...change });

  it('accept every golden sample', () => {
    for (const folder of ['events', 'commands']) {
      for (const file of readdirSync(join(root, 'test/golden', folder))) {
        const name = file.replace('.json', '');
        assert.deepEqual(check(name, sample(`${folder}/${name}`)), [], name);
      }
    }
    for (const file of readdirSync(join(root, 'test/golden/answers'))) {
      assert.deepEqual(check('Answer', sample(`answers/${file.replace('.json', '')}`)), [], file);
    }
    for (const file of readdirSync(join(root, 'test/golden/queries'))) {
      const { request, answer } = sample(`queries/${file.replace('.json', '')}`) as {
        request: unknown;
        answer: object;
      };
      if (file !== 'error-malformed.json') assert.deepEqual(check('Query', request), [], file);
      assert.deepEqual(check('code' in answer ? 'QueryError' : 'QueryAnswer', answer), [], file);
    }
    assert.deepEqual(check('DecisionCommit', [sample('events/NetworkCreateRequested.v5')]), []);
    assert.deepEqual(
      check('OutcomeCommit', [sample('events/EndpointJoined.v3'), sample('events/SandboxCreated.v3')]),
      [],
    );
  });

  it('bear fields in events that nobody knows yet, and no such field in a command', () => {
    assert.deepEqual(check('NetworkCreated.v1', changed('events/NetworkCreated.v1', { newer: 1 })), []);
    assert.notDeepEqual(check('DeleteNetwork.v1', changed('commands/DeleteNetwork.v1', { newer: 1 })), []);
  });

  it('refuse what is wrong', () => {
    const wrong: readonly (readonly [string, unknown])[] = [
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { data: { name: '../x' } })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { data: { name: 'x'.repeat(64) } })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { data: { name: 'a', gc: 999 } })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { data: {} })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { data: { name: 'a', options: { a: 1 } } })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { id: 'no-time' })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { version: 2 })],
      ['CreateNetwork.v1', changed('commands/CreateNetwork.v1', { deadlineMs: 0.5 })],
      ['AttachSandbox.v1', changed('commands/AttachSandbox.v1', { data: { sandbox: 's', networks: [] } })],
      ['NetworkCreated.v1', changed('events/NetworkCreated.v1', { type: 'cnm.NetworkCreated.v2' })],
      ['NetworkCreated.v1', changed('events/NetworkCreated.v1', { data: { networkId: 'short', name: 'a' } })],
      ['OutcomeCommit', [sample('events/NetworkCreateRequested.v5')]],
      ['OutcomeCommit', []],
      ['Answer', changed('answers/join-endpoint-outcome', { status: 'pending' })],
      ['Query', { limit: 0 }],
      ['Query', { asOf: 'yesterday' }],
    ];
    for (const [name, value] of wrong) assert.notDeepEqual(check(name, value), [], `${name} ${JSON.stringify(value)}`);
  });
});

/** All parts of a document, with their paths. */
function* partsOf(value: unknown, path: string): Generator<readonly [string, Readonly<Record<string, unknown>>]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [path, value as Readonly<Record<string, unknown>>];
  for (const [key, part] of Object.entries(value)) yield* partsOf(part, `${path}/${key}`);
}

describe('the AsyncAPI document', () => {
  const document = parsed('docs/generated/asyncapi.json') as Readonly<Record<string, Record<string, never>>>;

  it('has the parts that the specification wants', () => {
    assert.match(String(document.asyncapi), /^3\.\d+\.\d+$/);
    assert.equal(document.info?.title, 'cnmbus');
    for (const part of ['channels', 'operations', 'components']) assert.ok(document[part], part);
  });

  it('has no reference that leads nowhere', () => {
    const lost = [...partsOf(document, '#')].flatMap(([path, { $ref: ref }]) =>
      typeof ref === 'string' && resolveRef(document, ref) === undefined ? [`${path}: ${ref}`] : [],
    );
    assert.deepEqual(lost, []);
  });

  it('declares the parameters of every address, and no other', () => {
    for (const [name, channel] of Object.entries(document.channels ?? {})) {
      const { address, parameters = {} } = channel as { address: string | null; parameters?: object };
      const named = [...(address ?? '').matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      assert.deepEqual(named.sort(), Object.keys(parameters).sort(), name);
    }
  });

  it('has operations whose messages are those of their channel', () => {
    interface Side {
      readonly channel: { readonly $ref: string };
      readonly messages: readonly { readonly $ref: string }[];
    }
    const operations = Object.entries(document.operations ?? {}) as [string, Side & { action: string; reply?: Side }][];
    for (const [name, operation] of operations) {
      assert.match(operation.action, /^(send|receive)$/, name);
      for (const { channel, messages } of operation.reply ? [operation, operation.reply] : [operation]) {
        for (const { $ref } of messages) assert.ok($ref.startsWith(`${channel.$ref}/messages/`), `${name}: ${$ref}`);
      }
    }
  });
});

describe('docs/protocol.md', () => {
  const page = text('docs/protocol.md');
  /** Rows of the table behind a marker, cells without their code marks. */
  const vectors = (marker: string): readonly (readonly string[])[] => {
    const [, behind = ''] = page.split(`<!-- vectors: ${marker} -->\n`);
    const [block = ''] = behind.split('\n\n');
    const rows = block.split('\n').slice(2);
    return rows.map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  };

  it('has test vectors of names that hold', () => {
    const rows = vectors('names');
    assert.ok(rows.length >= 6);
    for (const [name = '', token = ''] of rows) {
      assert.equal(encodeToken(name), token);
      assert.equal(decodeToken(token), name);
    }
  });

  it('has test vectors of times in command ids that hold', () => {
    const rows = vectors('ids');
    assert.ok(rows.length >= 2);
    for (const [time = '', milliseconds = '', minted = ''] of rows) {
      assert.equal(Date.parse(time), Number(milliseconds));
      assert.equal(mintedMs(commandId(Number(milliseconds), 'x')), Number(milliseconds));
      assert.equal(commandId(Number(milliseconds), 'x'), `${minted}-x`);
    }
  });

  it('has a test vector of the chain that holds', () => {
    const [first, second] = [1, 2].map((n) => sample(`wire/realm-commit-${n}`)) as {
      subject: string;
      headers: [string, string][];
      body: string;
    }[];
    assert.ok(first && second);
    const carried = second.headers.find(([name]) => name === commitHeaders.prevHash)?.[1];
    const body = new TextEncoder().encode(first.body);
    assert.equal(chainHash({ subject: first.subject, headers: () => first.headers, body }), carried);
    const [, behind = ''] = page.split('<!-- vector: chain -->\n');
    const canonical =
      behind
        .split('```')[1]
        ?.replace(/^text\n/, '')
        .replace(/\n$/, '')
        .replaceAll('\n', '\r\n') ?? '';
    assert.equal(createHash('sha256').update(canonical).digest('base64url'), carried);
    assert.ok(page.includes(`\n${commitHeaders.prevHash}: ${carried}\n`));
  });

  it('takes its examples from a real run', () => {
    const blocks = [...page.matchAll(/```json\n/g)].length;
    const samples = [...page.matchAll(/<!-- sample: \S+.* -->\n```json\n/g)].length;
    assert.equal(blocks, samples, 'a JSON block without a sample');
  });
});

describe('links', () => {
  const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.md'),
  );

  it('between the pages lead somewhere', () => {
    const lost = pages.flatMap((page) => {
      const file = join(root, 'docs', page);
      // patterns between code marks look like links
      const prose = readFileSync(file, 'utf8').replaceAll(/(?<!\[)`[^`\n]*`/g, '');
      const links = [...prose.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
      return links.flatMap(([link, path = '', anchor]) => {
        const target = path === '' ? file : resolve(dirname(file), path);
        if (!existsSync(target)) return [`${page}: ${link}`];
        const headings = [...(target.endsWith('.md') ? readFileSync(target, 'utf8') : '').matchAll(/^#+ (.*)$/gm)];
        const anchors = headings.map(([, heading = '']) =>
          heading
            .toLowerCase()
            .replaceAll(/[^\w -]/g, '')
            .replaceAll(' ', '-'),
        );
        return anchor === undefined || anchors.includes(anchor) ? [] : [`${page}: ${link}`];
      });
    });
    assert.deepEqual(lost, []);
  });
});

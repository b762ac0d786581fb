/** Every generated document: what must stand in which file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asyncapiDocument } from './asyncapi.ts';
import { commandsPage } from './commands-page.ts';
import { errorsPage } from './errors-page.ts';
import { eventsPage } from './events-page.ts';
import { schemasDocument } from './json-schema.ts';
import { prettyJson } from './markdown.ts';
import { metricsPage } from './metrics-page.ts';
import { sample, samplePart, sampleText } from './samples.ts';
import { statesPage } from './states-page.ts';
import { viewsPage } from './views-page.ts';

export const root = join(import.meta.dirname, '../..');

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const json = (document: object): string => `${JSON.stringify(document, null, 2)}\n`;

/** `<!-- sample: answers/refused -->`, or `<!-- sample: queries/events answer -->` for a part, and the block of JSON behind it. */
const jsonSlot = /(<!-- sample: (\S+)((?: \S+)*) -->\n```json\n)[^`]*(```)/g;
const textSlot = /(<!-- sample: (\S+\.txt) -->\n```text\n)[^`]*(```)/g;
const headersSlot = /(<!-- headers: (\S+) -->\n```text\n)[^`]*(```)/g;
const chainSlot = /(<!-- vector: chain -->\n```text\n)[^`]*(```)/g;

type Headers = readonly (readonly [name: string, value: string])[];

interface Stored {
  readonly subject: string;
  readonly headers: Headers;
  readonly body: string;
}

const headerLines = (headers: Headers): readonly string[] => headers.map(([name, value]) => `${name}: ${value}`);

/** A commit as it is hashed, its lines ended as text is. */
const canonical = ({ subject, headers, body }: Stored): string => {
  const sorted = headers.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [subject, ...headerLines(sorted), '', body].join('\n');
};

/** A page written by hand, with the samples that it names put in. */
const withSamples = (page: string): string =>
  page
    .replaceAll(jsonSlot, (_, before: string, name: string, path: string, after: string) => {
      const part = samplePart(name, path.split(' ').filter(Boolean));
      return `${before}${prettyJson(part)}\n${after}`;
    })
    .replaceAll(textSlot, (_, before: string, name: string, after: string) => `${before}${sampleText(name)}${after}`)
    .replaceAll(headersSlot, (_, before: string, name: string, after: string) => {
      const { headers } = sample(name) as Stored;
      return `${before}${headerLines(headers).join('\n')}\n${after}`;
    })
    .replaceAll(chainSlot, (_, before: string, after: string) => {
      const first = sample('wire/realm-commit-1') as Stored;
      return `${before}${canonical(first)}\n${after}`;
    });

/** By path from the root of the repository. */
export const documents = (): ReadonlyMap<string, string> => {
  const { version } = JSON.parse(read('package.json')) as { readonly version: string };
  return new Map([
    ['docs/generated/schemas.json', json(schemasDocument())],
    ['docs/generated/asyncapi.json', json(asyncapiDocument(version))],
    ['docs/commands.md', commandsPage()],
    ['docs/events.md', eventsPage()],
    ['docs/views.md', viewsPage()],
    ['docs/states.md', statesPage()],
    ['docs/errors.md', errorsPage()],
    ['docs/metrics.md', metricsPage()],
    ['docs/protocol.md', withSamples(read('docs/protocol.md'))],
  ]);
};

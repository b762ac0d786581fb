/** Every generated document: what must stand in which file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asyncapiDocument } from './asyncapi.ts';
import { commandsPage } from './commands-page.ts';
import { errorsPage } from './errors-page.ts';
import { eventsPage } from './events-page.ts';
import { schemasDocument } from './json-schema.ts';
import { prettyJson } from './markdown.ts';
import { samplePart } from './samples.ts';
import { statesPage } from './states-page.ts';
import { viewsPage } from './views-page.ts';

export const root = join(import.meta.dirname, '../..');

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const json = (document: object): string => `${JSON.stringify(document, null, 2)}\n`;

/** `<!-- sample: answers/refused -->`, or `<!-- sample: queries/events answer -->` for a part, and the block of JSON behind it. */
const slot = /(<!-- sample: (\S+)((?: \S+)*) -->\n```json\n)[^`]*(\n```)/g;

/** A page written by hand, with the samples that it names put in. */
const withSamples = (page: string): string =>
  page.replaceAll(slot, (_, before: string, name: string, path: string, after: string) => {
    const part = samplePart(name, path.split(' ').filter(Boolean));
    return `${before}${prettyJson(part)}${after}`;
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
    ['docs/protocol.md', withSamples(read('docs/protocol.md'))],
  ]);
};

/** docs/commands.md: every command with all of its fields, and the answers. */
import { commandMeanings, commandName } from '../../events/catalogue.ts';
import { type CommandType, commandTypes } from '../../events/commands.ts';
import { type Definitions, definitionsUnder, type JsonSchema } from './json-schema.ts';
import { fieldTable, jsonBlock, notice, table } from './markdown.ts';
import { sample } from './samples.ts';

const parts = ['SubnetRequest', 'InterfaceRequest', 'PortRequest'];
const answers = ['Accepted', 'Refused', 'Outcome'];
const answerParts = ['Culprit', 'Fault'];
const options = { defaults: true, link: true } as const;

const anchor = (type: CommandType): string => commandName(type).toLowerCase().replaceAll('.', '');

const section = (type: CommandType, definitions: Definitions): string => {
  const data = definitions[commandName(type)]?.properties?.data as JsonSchema;
  return `## ${commandName(type)}

${commandMeanings[type]}

${fieldTable(data, options)}
${jsonBlock(sample(`commands/${commandName(type)}`))}`;
};

export const commandsPage = (): string => {
  const definitions = definitionsUnder('#/definitions/');
  const overview = commandTypes.map((type) => [`[${type}](#${anchor(type)})`, commandMeanings[type]]);
  const { data: _, ...properties } = definitions['JoinEndpoint.v1']?.properties ?? {};
  const required = definitions['JoinEndpoint.v1']?.required ?? [];
  const part = (name: string, defaults = true): string => {
    const schema = definitions[name] as JsonSchema;
    return `### ${name}\n\n${schema.description}\n\n${fieldTable(schema, { ...options, defaults })}`;
  };
  return `${notice('events/catalogue.ts')}# Commands

Bodies of messages on \`cnm.command.<actor>.<host>\`: how to send them and what comes back is in [protocol.md](protocol.md). A field that
is not listed here is refused. The examples are from one real run.

${table(['command', 'meaning'], overview)}
## The envelope

Beside \`data\`, which the sections below are about.

${fieldTable({ properties, required }, options)}
${commandTypes.map((type) => section(type, definitions)).join('\n')}
## Parts

${parts.map((name) => part(name)).join('\n')}
## Answers

What comes on \`cnm.reply.<actor>.<commandid>\`. Every field is there, null where this command has not decided or done it; only \`name\` and
\`detail\` of a culprit are left out where there is nothing to say.

${[...answers, ...answerParts].map((name) => part(name, false)).join('\n')}`;
};

/** docs/commands.md: every command with all of its fields. */
import { commandMeanings, commandName } from '../../events/catalogue.ts';
import { type CommandType, commandTypes } from '../../events/commands.ts';
import { type Definitions, definitionsUnder, type JsonSchema } from './json-schema.ts';
import { fieldTable, jsonBlock, notice, table } from './markdown.ts';
import { sample } from './samples.ts';

const parts = ['SubnetRequest', 'InterfaceRequest', 'PortRequest'];
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
  const part = (name: string): string => {
    const schema = definitions[name] as JsonSchema;
    return `### ${name}\n\n${schema.description}\n\n${fieldTable(schema, options)}`;
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

${parts.map(part).join('\n')}`;
};

/** docs/events.md: every event of the log. */
import { eventMeanings, eventName } from '../../events/catalogue.ts';
import { cloudType, eventVersions } from '../../events/envelope.ts';
import { decisionTypes, type EventType, isIntent, outcomesOf, outcomeTypes } from '../../events/events.ts';
import { type Definitions, definitionsUnder, type JsonSchema } from './json-schema.ts';
import { code, fieldTable, jsonBlock, notice, table } from './markdown.ts';
import { sample } from './samples.ts';

const parts = ['NetworkFacts', 'Subnet', 'EndpointFacts', 'SandboxFacts', 'PublishedPort', 'Fault', 'Culprit'];

const anchor = (type: EventType): string => eventName(type).toLowerCase().replaceAll('.', '');
const link = (type: EventType): string => `[${type}](#${anchor(type)})`;

const writer = (type: EventType): string =>
  outcomeTypes.some((known) => known === type) ? 'the worker of the host' : 'the controller';

/** What comes after an intent, or before an outcome. */
const relation = (type: EventType): string => {
  if (isIntent(type)) {
    const { done, failed } = outcomesOf[type];
    return `An intent: the host of its subject executes it and reports ${link(done)} or ${link(failed)}. `;
  }
  const intent = Object.entries(outcomesOf).find(([, { done, failed }]) => done === type || failed === type);
  return intent ? `Ends ${link(intent[0] as EventType)}. ` : '';
};

const envelope = (definitions: Definitions): string => {
  const { properties: { data: _, ...properties } = {}, required = [] } =
    definitions[eventName('NetworkCreateRequested')] ?? {};
  return fieldTable({ properties, required }, { defaults: true, link: false });
};

/** Versions that were written once and are still read. */
const olderVersions = (type: EventType): string =>
  Array.from({ length: eventVersions[type] - 1 }, (_, index) => index + 1)
    .map((version) => {
      const name = eventName(type, version);
      return `\n#### ${name}\n\nNot written any more; read as version ${eventVersions[type]}.\n\n${jsonBlock(sample(`events/${name}`))}`;
    })
    .join('');

const eventSection = (type: EventType, definitions: Definitions): string => {
  const data = definitions[eventName(type)]?.properties?.data as JsonSchema;
  return `### ${eventName(type)}

${eventMeanings[type]} ${relation(type)}Written by ${writer(type)} as ${code(cloudType(type, eventVersions[type]))}.

${fieldTable(data, { defaults: false, link: true })}
${jsonBlock(sample(`events/${eventName(type)}`))}${olderVersions(type)}`;
};

const overview = (types: readonly EventType[]): string =>
  table(
    ['event', 'version', 'meaning'],
    types.map((type) => [link(type), String(eventVersions[type]), eventMeanings[type]]),
  );

export const eventsPage = (): string => {
  const definitions = definitionsUnder('#/definitions/');
  const sections = (types: readonly EventType[]) => types.map((type) => eventSection(type, definitions)).join('\n');
  const part = (name: string): string => {
    const schema = definitions[name] as JsonSchema;
    return `### ${name}\n\n${schema.description}\n\n${fieldTable(schema, { defaults: false, link: true })}`;
  };
  return `${notice('events/catalogue.ts')}# Events

All that ever happened, one CloudEvent each, many in a commit: how they are stored and read is in [protocol.md](protocol.md). The
examples are from one real run. A released version never changes; a reader must bear fields that it does not know.

## Decisions

Written by the controller on \`cnm.event.host.<host>\`, and on \`cnm.event.realm._\` where a command reaches no host.

${overview(decisionTypes)}
## Outcomes

Written by the worker of a host on \`cnm.outcome.<host>\`: what the kernel now holds.

${overview(outcomeTypes)}
## The envelope

Attributes of every event, beside \`data\`, which the sections below are about. Those that are optional are left out where they do not apply.

${envelope(definitions)}
## Every decision

${sections(decisionTypes)}
## Every outcome

${sections(outcomeTypes)}
## Parts

What several events hold.

${parts.map(part).join('\n')}`;
};

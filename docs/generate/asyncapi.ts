/** docs/generated/asyncapi.json: the wire contract as an AsyncAPI 3 document. */
import { commandMeanings, commandName } from '../../events/catalogue.ts';
import { commandTypes } from '../../events/commands.ts';
import { batchType, commitHeaders } from '../../events/envelope.ts';
import { anyHost } from '../../events/names.ts';
import { viewNames } from '../../events/queries.ts';
import { commandsStream, logStream, type StreamDefinition } from '../../services/nats/stream-config.ts';
import { type Definitions, definitionsUnder } from './json-schema.ts';

const schemas = '#/components/schemas/';
const ref = (path: string) => ({ $ref: path });
const schema = (id: string) => ref(`${schemas}${id}`);

/** The binding of NATS knows queue groups only; streams are said in an extension. */
const jetstream = ({ name, subjects, max_age, allow_direct, duplicate_window }: StreamDefinition) => ({
  'x-jetstream': {
    stream: name,
    subjects,
    retention: 'limits',
    maxAgeSeconds: (max_age ?? 0) / 1e9,
    duplicateWindowSeconds: (duplicate_window ?? 0) / 1e9,
    allowDirect: allow_direct === true,
    denyDelete: true,
    denyPurge: true,
  },
});

const queue = { nats: { queue: 'q', bindingVersion: '0.1.0' } };

const text = (description: string) => ({ type: 'string', description });

const headersOf = (decisions: boolean) => ({
  type: 'object',
  properties: {
    [commitHeaders.contentType]: { const: batchType },
    [commitHeaders.prevHash]: text('chain hash of the commit before on the same subject; absent on the first'),
    ...(decisions
      ? { [commitHeaders.commands]: text('FROM-THROUGH: which commands are decided with this commit') }
      : {}),
    'Nats-Msg-Id': text('id of the commit'),
    'Nats-Expected-Stream': text('the stream'),
    'Nats-Expected-Last-Subject-Sequence': text(
      'the guard: position of the commit before on the same subject, 0 for none',
    ),
  },
  required: [commitHeaders.contentType, 'Nats-Msg-Id'],
});

const commit = (id: string, decisions: boolean) => ({
  name: id,
  contentType: batchType,
  headers: ref(`#/components/schemas/${decisions ? 'DecisionHeaders' : 'OutcomeHeaders'}`),
  payload: schema(id),
});

const plain = (id: string, more: object = {}) => ({
  name: id,
  contentType: 'application/json',
  ...more,
  payload: schema(id),
});

const errorHeaders = {
  type: 'object',
  properties: {
    'Nats-Service-Error': text('the code, a colon, and the detail'),
    'Nats-Service-Error-Code': text('class of the code'),
  },
  required: ['Nats-Service-Error', 'Nats-Service-Error-Code'],
};

const messages = () => ({
  ...Object.fromEntries(
    commandTypes.map((type) => [
      commandName(type),
      plain(commandName(type), { title: type, summary: commandMeanings[type] }),
    ]),
  ),
  ...Object.fromEntries(['Accepted', 'Refused', 'Outcome', 'Query', 'QueryAnswer'].map((id) => [id, plain(id)])),
  QueryError: plain('QueryError', { headers: schema('QueryErrorHeaders') }),
  DecisionCommit: commit('DecisionCommit', true),
  OutcomeCommit: commit('OutcomeCommit', false),
});

const messageRefs = (ids: readonly string[]) =>
  Object.fromEntries(ids.map((id) => [id, ref(`#/components/messages/${id}`)]));

const actor = { description: 'who sends the command, as a token; NATS permissions are granted on it' };
const host = { description: 'name of the host, as a token' };

const channels = {
  commands: {
    address: 'cnm.command.{actor}.{host}',
    description: 'Commands, durably. Publish with JetStream; the answers come on the channel replies.',
    parameters: { actor, host: { description: `${host.description}; ${anyHost} where none is named` } },
    messages: messageRefs(commandTypes.map(commandName)),
    ...jetstream(commandsStream),
  },
  replies: {
    address: 'cnm.reply.{actor}.{commandid}',
    description: 'Answers to commands, at most once: first the acceptance or the refusal, later the outcome.',
    parameters: { actor, commandid: { description: "the command's id, as a token" } },
    messages: messageRefs(['Accepted', 'Refused', 'Outcome']),
  },
  hostDecisions: {
    address: 'cnm.event.host.{host}',
    description: 'Decisions on a host.',
    parameters: { host },
    messages: messageRefs(['DecisionCommit']),
    ...jetstream(logStream),
  },
  realmDecisions: {
    address: 'cnm.event.realm._',
    description:
      'Decisions that belong to no host: the opening of the log, and refusals of commands that reach no host.',
    messages: messageRefs(['DecisionCommit']),
    ...jetstream(logStream),
  },
  outcomes: {
    address: 'cnm.outcome.{host}',
    description: "Reports of a host's worker.",
    parameters: { host },
    messages: messageRefs(['OutcomeCommit']),
    ...jetstream(logStream),
  },
  queries: {
    address: 'cnm.query.{view}',
    description: 'Queries by request and reply.',
    parameters: { view: { description: 'the view', enum: [...viewNames, 'events', 'status'] } },
    messages: messageRefs(['Query']),
  },
  ownCommands: {
    address: 'cnm.own.{actor}',
    description:
      'What became of commands of this actor, by request and reply: the view `commands` with the actor put into the filter.',
    parameters: { actor },
    messages: messageRefs(['Query']),
  },
  queryReplies: {
    address: null,
    description: 'The reply subject of the request.',
    messages: messageRefs(['QueryAnswer', 'QueryError']),
  },
};

const channel = (name: keyof typeof channels) => ref(`#/channels/${name}`);
const channelMessages = (name: keyof typeof channels) =>
  Object.keys(channels[name].messages).map((id) => ref(`#/channels/${name}/messages/${id}`));
const operation = (action: 'send' | 'receive', name: keyof typeof channels, summary: string) => ({
  action,
  channel: channel(name),
  summary,
  messages: channelMessages(name),
});

/** As cnmbus does them: it receives commands and sends events. */
const operations = {
  decideCommand: {
    ...operation('receive', 'commands', 'Decides a command.'),
    reply: { channel: channel('replies'), messages: channelMessages('replies') },
  },
  recordHostDecisions: operation('send', 'hostDecisions', 'Appends the decisions on a host.'),
  recordRealmDecisions: operation('send', 'realmDecisions', 'Appends decisions that belong to no host.'),
  reportOutcomes: operation('send', 'outcomes', 'Appends what a worker reports.'),
  answerOwnCommands: {
    ...operation('receive', 'ownCommands', 'Answers what became of commands of an actor.'),
    bindings: queue,
    reply: { channel: channel('queryReplies'), messages: channelMessages('queryReplies') },
  },
  answerQuery: {
    ...operation('receive', 'queries', 'Answers a query.'),
    bindings: queue,
    reply: { channel: channel('queryReplies'), messages: channelMessages('queryReplies') },
  },
};

const description =
  'Container networks as events over NATS JetStream. Rules that no schema can say are in docs/protocol.md. Generated by `npm run docs`.';

export const asyncapiDocument = (version: string): object => {
  const definitions: Definitions = definitionsUnder(schemas);
  return {
    asyncapi: '3.1.0',
    info: { title: 'cnmbus', version, description, license: { name: 'Apache-2.0' } },
    defaultContentType: 'application/json',
    channels,
    operations,
    components: {
      messages: messages(),
      schemas: {
        ...definitions,
        DecisionHeaders: headersOf(true),
        OutcomeHeaders: headersOf(false),
        QueryErrorHeaders: errorHeaders,
      },
    },
  };
};

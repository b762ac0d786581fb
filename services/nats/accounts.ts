/**
 * The configuration of a NATS server that knows who is who: an account for our services with the streams, and one of its own for every host, actor,
 * viewer and reader. Pure.
 *
 * Users with permissions within one account would not do: whatever publishes can name any subject for the answer, and the server sends it
 * there without asking. The acknowledgement of a command would thus be stored as a decision, and a message that is read back as one of
 * anybody's choosing (both tried on nats-server 2.15.1; docs/adr/0038-accounts.md). Between accounts an answer comes back to the account that asked, and nothing crosses
 * but what is listed here.
 */
import { encodeToken, subjects } from '../../events/names.ts';
import { STREAMS } from './stream-config.ts';

/** `actor` sends commands, hears what becomes of them, and asks for it later. */
export interface Person {
  readonly name: string;
  /** Publishes commands, under its own name. */
  readonly acts: boolean;
  /** Asks for views. */
  readonly views: boolean;
  /** Reads the log and watches it, besides. */
  readonly reads: boolean;
  /** Public nkey. */
  readonly key: string;
}

export interface Parties {
  /** Public nkeys of our own services. */
  readonly services: Readonly<Record<CoreService, string>>;
  /** May do anything: audits, imports, segments, sealing. Hands that hold the log itself. */
  readonly operators: readonly { readonly name: string; readonly key: string }[];
  readonly hosts: readonly { readonly name: string; readonly key: string }[];
  readonly people: readonly Person[];
}

/** Services that live in the account of the streams; workers have accounts of their own. */
export const coreServices = ['controller', 'projector', 'collector'] as const;
export type CoreService = (typeof coreServices)[number];

export interface ServerPlace {
  /** `0.0.0.0:4222` */
  readonly listen: string;
  /** Of the monitoring port, which says whether the server syncs; null: none. */
  readonly monitor: string | null;
  readonly storeDir: string;
  /** PEM files; with `ca` clients need certificates that it has signed. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string | null } | null;
}

/** Where hosts, viewers and readers find JetStream: their accounts have none of their own, and `$JS.API` says so. */
export const API_PREFIX = 'cnm.js';
const API = '$JS.API';
const CORE = 'CNM';

const text = JSON.stringify;
const token = encodeToken;

/** What is asked of a stream to read it; `filter`: only this subject of it, by those who ask for it. */
const reading = (stream: string, filter?: string): readonly string[] => [
  `STREAM.INFO.${stream}`,
  `STREAM.MSG.GET.${stream}`,
  `DIRECT.GET.${stream}`,
  // the library names a consumer in the subject, but not one of several filters
  ...(filter === undefined
    ? [`CONSUMER.CREATE.${stream}`, `CONSUMER.CREATE.${stream}.>`]
    : [`CONSUMER.CREATE.${stream}.*.${filter}`]),
  `CONSUMER.DELETE.${stream}.*`,
];
/** Answered by more than one message. */
const delivering = (stream: string): readonly string[] => [`CONSUMER.MSG.NEXT.${stream}.*`];

const allStreams = Object.values(STREAMS);
const looking = ['INFO', ...allStreams.map((stream) => `STREAM.INFO.${stream}`)];

const list = (indent: string, lines: readonly string[]): string =>
  `[\n${lines.map((line) => `${indent}  ${line}`).join('\n')}\n${indent}]`;
const ofApi = (names: readonly string[]): readonly string[] => names.map((name) => `${API}.${name}`);
const readsOf = (...streams: readonly string[]): readonly string[] =>
  ofApi(streams.flatMap((stream) => [...reading(stream), ...delivering(stream)]));

/** What each of our services may publish, beside answers to whoever asks it. */
const publishes: Readonly<Record<CoreService, readonly string[]>> = {
  controller: [
    ...['cnm.event.>', 'cnm.reply.>', 'cnm.lease.controller'],
    ...ofApi(allStreams.map((stream) => `STREAM.CREATE.${stream}`)),
    ...readsOf(STREAMS.log, STREAMS.commands, STREAMS.lease),
  ],
  projector: readsOf(STREAMS.log),
  collector: [
    ...[subjects.command('collector', null).replace(/_$/, '*'), 'cnm.checkpoint'],
    ...readsOf(STREAMS.log, STREAMS.commands, STREAMS.lease, STREAMS.checkpoint),
    ...ofApi([`STREAM.MSG.GET.${STREAMS.key}`, `STREAM.MSG.DELETE.${STREAMS.key}`]),
  ],
};

const subscribes: Readonly<Record<CoreService, readonly string[]>> = {
  controller: [],
  projector: ['cnm.query.*', 'cnm.own.*', 'cnm.rebuild.*'],
  collector: [],
};

const serviceUser = (name: CoreService, key: string, operators: Parties['operators']): string => {
  // an operator is told how a rebuild goes on by many answers to one question
  const answers = operators.map((operator) => `_INBOX_${token(operator.name)}.>`);
  const publish = [...publishes[name], ...ofApi(looking), '_R_.>', ...answers];
  const subscribe = [`_INBOX_${name}.>`, '_INBOX_provision.>', '$SRV.>', ...subscribes[name]];
  return [
    `{ nkey: ${key}, permissions { # ${name}`,
    `        publish: ${list(
      '        ',
      [...new Set(publish)].map((subject) => text(subject)),
    )}`,
    `        subscribe: ${list(
      '        ',
      subscribe.map((subject) => text(subject)),
    )}`,
    '        allow_responses: true } }',
  ].join('\n');
};

const exportLine = (kind: 'service' | 'stream', subject: string, many = false): string =>
  `{ ${kind}: ${text(subject)}${many ? ', response_type: stream' : ''} }`;

/** All that can be had of the account of our services; who has it is said by the imports of each. */
const exported: readonly string[] = [
  ...['cnm.command.*.*', 'cnm.own.*', 'cnm.query.*', 'cnm.outcome.*', 'cnm.lease.worker.*'].map((subject) =>
    exportLine('service', subject),
  ),
  exportLine('stream', 'cnm.reply.*.*'),
  exportLine('service', '$SRV.>', true),
  ...ofApi([...new Set([...looking, ...[STREAMS.log, STREAMS.lease].flatMap((stream) => reading(stream))])]).map(
    (subject) => exportLine('service', subject),
  ),
  ...ofApi([STREAMS.log, STREAMS.lease].flatMap(delivering)).map((subject) => exportLine('service', subject, true)),
];

const service = (subject: string, to = subject): string =>
  `{ service: { account: ${CORE}, subject: ${text(subject)} }${to === subject ? '' : `, to: ${text(to)}`} }`;
const api = (name: string): string => service(`${API}.${name}`, `${API_PREFIX}.${name}`);
const replies = (actor: string): string =>
  `{ stream: { account: ${CORE}, subject: ${text(subjects.reply(actor, '*').replace(/[^.]*$/, '*'))} } }`;
const commands = (actor: string): string => service(subjects.command(actor, null).replace(/_$/, '*'));

const account = (name: string, imports: readonly string[], key: string): string =>
  `  ${text(name)} {\n    imports: ${list('    ', imports)}\n    users: [ { nkey: ${key} } ]\n  }`;

const readsLog = [...looking, ...reading(STREAMS.log), ...delivering(STREAMS.log)];

/** A worker: reports and signs of life of its host, its own proposals, and the log. */
const hostAccount = ({ name, key }: Parties['hosts'][number]): string => {
  const lease = `cnm.lease.worker.${token(name)}`;
  const worker = `worker:${name}`;
  const imports = [
    ...[service(subjects.outcome(name)), service(lease), service(subjects.command(worker, name)), replies(worker)],
    ...[...new Set([...readsLog, ...reading(STREAMS.lease, lease), ...delivering(STREAMS.lease)])].map(api),
  ];
  return account(`HOST_${token(name)}`, imports, key);
};

const personAccount = ({ name, acts, views, reads, key }: Person): string =>
  account(
    `${acts ? 'ACTOR' : reads ? 'READER' : 'VIEWER'}_${token(name)}`,
    [
      ...(acts ? [commands(name), replies(name), service(subjects.own(name))] : []),
      ...(views ? [service('cnm.query.*'), service('$SRV.>'), ...looking.map(api)] : []),
      ...(reads ? [...new Set(readsLog)].filter((subject) => !looking.includes(subject)).map(api) : []),
    ],
    key,
  );

/** The whole configuration; keep it from everybody who must not know who there is. It holds no secrets. */
export const accountsConfig = (place: ServerPlace, parties: Parties): string => {
  const { services, operators, hosts, people } = parties;
  const users = [
    ...coreServices.map((name) => serviceUser(name, services[name], operators)),
    ...operators.map(({ name, key }) => `{ nkey: ${key} } # operator ${name}`),
  ];
  const { tls } = place;
  return [
    '# written by `cnm nats-config`, which writes it anew for more hosts, actors and viewers',
    `listen: ${text(place.listen)}`,
    ...(place.monitor === null ? [] : [`http: ${text(place.monitor)}`]),
    ...(tls === null
      ? []
      : [
          `tls { cert_file: ${text(tls.cert)}, key_file: ${text(tls.key)}${tls.ca === null ? '' : `, ca_file: ${text(tls.ca)}, verify: true`} }`,
        ]),
    '# acknowledged means on disk',
    `jetstream { store_dir: ${text(place.storeDir)}, sync_interval: always }`,
    'accounts {',
    `  ${CORE} {`,
    '    jetstream: enabled',
    `    exports: ${list('    ', exported)}`,
    `    users: ${list('    ', users)}`,
    '  }',
    ...hosts.map(hostAccount),
    ...people.map(personAccount),
    '}',
    '',
  ].join('\n');
};

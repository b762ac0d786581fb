/** docs/views.md: every view with the fields of its rows and the names that its filter knows. */
import { fieldMeanings } from '../../events/field-meanings.ts';
import { type ViewName, viewNames } from '../../events/queries.ts';
import { filterNames } from '../../projections/filter.ts';
import type { ViewRows } from '../../projections/views.ts';
import { eventFilterNames } from '../../services/projector/recorded.ts';
import { definitionsUnder, type JsonSchema } from './json-schema.ts';
import { loadFields } from './load-fields.ts';
import { code, jsonBlock, notice, table, typeText } from './markdown.ts';
import { common, type Fields, networkNames, type Said, time } from './said.ts';
import { samplePart } from './samples.ts';
import { upkeepFields } from './upkeep-fields.ts';
import { meanings } from './view-meanings.ts';

const { host, since, createdAt, createdBy, intent, fault, actorproof, changedPosition } = common;

const definitions = definitionsUnder('#/definitions/');

/** The fields of a part of the catalogue, for rows that hold all of it. */
const of = <Name extends string>(
  schema: JsonSchema | undefined,
  ...names: readonly Name[]
): Readonly<Record<Name, Said>> =>
  Object.fromEntries(
    names.map((name) => {
      const field = schema?.properties?.[name] ?? {};
      return [name, [typeText(field), field.description ?? '']];
    }),
  ) as unknown as Readonly<Record<Name, Said>>;

const pending = 'the latest update while it is not reported: `intent`';
const updateFault: Said = ['Fault or null', 'why the latest update failed'];
const status = (thing: string): Said => ['string', `its state, see states.md#${thing}`];

const networkFacts = of(
  definitions.NetworkFacts,
  'id',
  'name',
  'driver',
  'ipv4',
  'ipv6',
  'internal',
  'ipam',
  'subnets',
  'mtu',
  'options',
  'labels',
  'gc',
  'configOnly',
  'configFrom',
  'dns',
  'scope',
  'defaultRoute',
  'outlet',
  'tunnel',
  'parent',
  'owner',
  'leaseMs',
  'drift',
);
const endpointFacts = of(
  definitions.EndpointFacts,
  'id',
  'networkId',
  'name',
  'ipv4',
  'ipv6',
  'mac',
  'wanted',
  'static',
  'aliases',
  'ports',
  'gatewayPriority',
  'sysctls',
  'linkLocal',
  'links',
  'services',
  'options',
  'labels',
  'gc',
  'origin',
);
const sandboxFacts = of(
  definitions.SandboxFacts,
  'id',
  'incarnation',
  'key',
  'owned',
  'hostname',
  'domainname',
  'dns',
  'extraHosts',
  'owner',
  'leaseMs',
  'afterReboot',
  'ports',
  'files',
);
const hostFacts = of(
  definitions['HostFacts.v3']?.properties?.data,
  'host',
  'bootId',
  'kernel',
  'runDir',
  'routes',
  'linkRoutes',
  'capabilities',
  'mtu',
  'ula',
  'pools',
  'netnsRoots',
  'epoch',
  'underlay',
  'underlayAsked',
  'vlans',
  'drivers',
  'reads',
);
const outcome = of(
  definitions.Outcome,
  'command',
  'commandid',
  'correlationid',
  'network',
  'endpoints',
  'sandbox',
  'fault',
);

const fields: { readonly [View in ViewName]: Fields<ViewRows[View]> } = {
  networks: {
    ...networkFacts,
    host,
    status: status('network'),
    since,
    createdAt,
    createdBy,
    endpoints: ['integer', 'how many endpoints it has'],
    intent,
    fault,
    update: ['object or null', `${pending}; \`before\`: the settings that hold again if it fails`],
    updateFault,
    changedPosition,
  },
  endpoints: {
    ...endpointFacts,
    host,
    network: networkNames.network,
    status: status('endpoint'),
    since,
    createdAt,
    createdBy,
    sandbox: ['string or null', "the sandbox that it is in, joins or leaves: the caller's name of it"],
    sandboxIncarnation: ['string or null', 'id of that sandbox'],
    sandboxKey: ['string or null', 'path of its namespace file, once joined'],
    joinId: ['string or null', 'id of the join'],
    interface: ['string or null', 'name of its interface in the sandbox'],
    interfaceAsked: ['string or null', 'the name that was asked for'],
    plug: [
      'object or null',
      'what the carrier of the network said of its join: `link` on the host, `gateway4`, `gateway6`, `routes`; null where the driver is ours',
    ],
    routes: [
      'list of object',
      'routes in the sandbox that came with its join; `gateway` says who carries the default route now',
    ],
    routesAsked: ['list of object', 'the static routes that were asked for'],
    gateway: ['object', 'whether it carries the default route of its sandbox: `ipv4`, `ipv6`'],
    portMap: [
      'list of object',
      'what leads to it now: its own leases, those of its sandbox and of the other endpoints there, while it carries the default route',
    ],
    update: [
      'object or null',
      `${pending}; \`before\`: the settings that hold again if it fails; \`held\`: leases that it gives back`,
    ],
    updateFault,
    lastSandbox: ['string or null', 'the sandbox that it was last in'],
    idleSince: [time, 'since when it has been without a sandbox'],
    suspected: ['boolean', 'may be collected soon'],
    generation: ['integer', 'how many events it has seen'],
    intent,
    leave: ['object or null', 'its leave while that is not reported: as part of a move it may be reverted'],
    fault,
    changedPosition,
  },
  sandboxes: {
    ...sandboxFacts,
    host,
    status: status('sandbox'),
    createdAt: [time, 'when its first join was accepted'],
    lost: [
      'object or null',
      'lost with a boot of its host: `bootId`, `since`, `reason` (`policy` or `namespace`), `releasedAt` (when it ends; null: it is wanted back); null: it was not',
    ],
    createdBy: ['string', 'who joined the first endpoint to it'],
    readyAt: ['date-time or null', 'since when it is there'],
    removingAt: ['date-time or null', 'since when no endpoint is in it'],
    members: [
      'list of object',
      'endpoints in it in the order in which they joined: endpointId, endpoint, networkId, network, interface',
    ],
    leaving: ['list of string', 'ids of endpoints that are to leave it and are not reported out of it'],
    gateways: ['object', fieldMeanings.gateways ?? ''],
    paths: [
      'object or null',
      'files to mount into the container: `hosts`, `resolvConf`, `hostname`; null in the namespace of the host itself',
    ],
    changedPosition,
  },
  addresses: {
    address: ['string', 'the address, without prefix length'],
    family: ['`4` or `6`', 'its family'],
    host,
    ...networkNames,
    kind: ['string', 'whose it is: `endpoint`, `gateway` or `aux`'],
    holderId: ['string or null', 'id of the endpoint'],
    holder: ['string or null', 'name of the endpoint, or of the auxiliary address'],
    mac: ['string or null', 'MAC address of the endpoint'],
    since: [time, 'since when it is held'],
    changedPosition,
  },
  names: {
    endpointId: ['string', 'id of the endpoint'],
    endpoint: ['string', 'its name'],
    host,
    ...networkNames,
    sandbox: ['string', 'the sandbox that it is in'],
    sandboxIncarnation: ['string', 'its incarnation'],
    names: [
      'list of string',
      "what it is found by in its network, in lower case: its name, its aliases, its sandbox's hostname alone and with its domain",
    ],
    links: ['object', 'names that its own sandbox has for others of the network'],
    ipv4: ['string or null', 'what its names lead to'],
    ipv6: ['string or null', 'what its names lead to'],
    since: [time, 'since when it is found: the report of its join'],
    changedPosition,
  },
  ports: {
    host,
    protocol: ['string', '`tcp`, `udp` or `sctp`'],
    family: ['`4` or `6`', 'of the address'],
    hostAddress: ['string', 'address of the host; `0.0.0.0` and `::` are all of their family'],
    hostPort: ['integer', 'the first of `count`; 0 while the host looks for one'],
    count: ['integer', 'how many ports, one behind the other'],
    port: ['integer', 'the first port inside, of as many'],
    exposure: ['string', 'who can reach it: `loopback` (this host), `address` (who reaches that address) or `any`'],
    status: [
      'string',
      '`finding` a host port, `held`, `bound` (it leads to `address`), or `releasing` (an update takes it away)',
    ],
    holderKind: ['string', '`endpoint` or `sandbox`'],
    holderId: ['string', 'id of the endpoint, or incarnation of the sandbox'],
    holder: ['string', 'its name'],
    networkId: ['string or null', 'id of the network of the endpoint that holds it'],
    network: ['string or null', 'name of that network'],
    sandbox: ['string or null', 'the sandbox that it leads into, or that holds it'],
    endpointId: ['string or null', 'id of the endpoint that it leads to now'],
    endpoint: ['string or null', 'name of that endpoint'],
    address: ['string or null', 'the address that it leads to now'],
    actor: ['string', 'who asked for it'],
    actorproof,
    since: [time, 'when it was asked for'],
    boundSince: ['date-time or null', 'since when it leads there'],
    changedPosition,
  },
  hosts: {
    ...hostFacts,
    firstSeen: [time, 'when its worker stated facts first'],
    statedAt: [time, 'when it stated these'],
    lastReport: [time, 'when it last reported anything'],
    lastReportPosition: ['integer', 'position of that report'],
    alive: [
      'boolean',
      'false: its worker has shown no sign of life since `awaySince`; over when it states another epoch',
    ],
    awaySince: ['date-time or null', 'its last sign of life, where it is not alive'],
    regressed: [
      'object or null',
      'the log is an older copy of what its worker had read: `status` (`stopped`: nothing is changed there until it is resumed; `kept`: it goes on beside what is held), `since`, `seen`, `found`, `held`; null: it is not',
    ],
    lost: [
      'object or null',
      'where it was declared lost: since when, who did it (`actor`, `actorproof`) and why; null where it was not, or states another epoch',
    ],
  },
  drivers: {
    host,
    driver: ['string', 'name of the driver'],
    options: ['map to string', 'the options that it was given last; where it did not take them, what it had before'],
    before: ['map to string', 'what holds again when the latest options are not taken'],
    status: ['string', '`configuring`, `configured` or `failed`'],
    since,
    intent,
    fault,
    changedPosition,
  },
  commands: {
    ...outcome,
    actor: ['string', 'who sent it'],
    status: ['string', '`accepted`, `refused`, `succeeded`, `failed`, `timed-out` or `cancelled`'],
    position: ['integer', 'position of the decision'],
    decidedAt: [time, 'when it was decided'],
    endedPosition: ['integer or null', 'position of the event that ended it; null while it is under way'],
    endedAt: ['date-time or null', 'when it ended'],
    deadline: ['date-time or null', 'when it ends as timed out; null where it was refused'],
    open: ['list of string', 'event ids of its intents that are not reported'],
    refusal: ['object or null', 'why it was refused: code, detail, culprits'],
    host: ['string or null', 'the host that decided it; null where it reached none'],
  },
  ...upkeepFields,
  ...loadFields,
};

const listed = (names: readonly string[]): string => names.map(code).join(', ');

const section = (view: ViewName): string => {
  const row = samplePart(`queries/${view}`, ['answer', 'rows', '0']);
  return `## ${view}

${meanings[view]} Filter: ${listed(filterNames(view))}.

${table(
  ['field', 'type', 'meaning'],
  Object.entries<Said>(fields[view]).map(([name, [type, meaning]]) => [code(name), type, meaning]),
)}
${jsonBlock(row)}`;
};

/** Fields of every row, for the test that holds them against rows of a real run. */
export const rowFields = (view: ViewName): readonly string[] => Object.keys(fields[view]);

export const viewsPage = (): string => `${notice('projections/ and events/catalogue.ts')}# Views

Rows that the queries \`cnm.query.<view>\` answer with; how to ask is in [protocol.md](protocol.md). Times are RFC 3339 in UTC. The examples are
from one real run.

A filter names fields and values: a row passes when every field, as text, is equal to its value (\`"true"\`, \`"4"\`, null is \`""\`), or has it among
its items where it is a list. Of a list of values one is enough, but of \`label\` (\`KEY\` or \`KEY=VALUE\`) all are wanted. \`network\`, \`endpoint\` and \`sandbox\` name a thing by its name or its id; the first two are compared without case,
and a network may be written HOST/NAME. \`address\` is an address without prefix length.

${viewNames.map(section).join('\n')}
## events

Recorded events in log order, one row each: the CloudEvent itself ([events.md](events.md)) in its current version, with \`position\` (\`SEQ.INDEX\`: the
position of its commit and its place in it, from 0), \`host\` (null where it belongs to none) and \`recordedtime\` (when it was stored).
Filter: ${listed(eventFilterNames)}. \`type\` takes event types without version, several with commas; \`since\` a position, \`SEQ\` or
\`SEQ.INDEX\`, or a time, and takes it in; \`command\` the type of the command that led to it; \`network\`, \`endpoint\` and \`sandbox\` a name or an id;
\`address\` everything that happened to whoever held it.

${jsonBlock(samplePart('queries/events', ['answer', 'rows', '0']))}
## status

One row about the service that answers: how far it has read. Where the log begins with a segment, \`putAway\` says before which position it was put
away, and the file, with its SHA-256, that holds what was before.

${jsonBlock(samplePart('queries/status', ['answer', 'rows', '0']))}`;

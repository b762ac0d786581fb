// A realistic log for the rebuild bench: sandboxes that are attached to two networks in turn and detached again, a thousand alive.
import { type Event, encodeCommit, eventVersions } from '../events/envelope.ts';
import type { Fact } from '../events/events.ts';
import { commandId, subjects } from '../events/names.ts';
import { chainHash } from '../services/lib/hash.ts';
import { storedHeaders } from '../services/nats/jetstream.ts';

export interface BenchCommit {
  readonly subject: string;
  readonly id: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly events: number;
}

const HOSTS = 4;
const ALIVE = 1_000;
const STARTED_MS = Date.parse('2026-11-20T08:00:00.000Z');
const HASH = 'h'.repeat(43);

interface Workload {
  readonly host: string;
  readonly networkId: string;
  readonly endpointId: string;
  readonly name: string;
  readonly octets: string;
  readonly sandbox: string;
  readonly incarnation: string;
  readonly joinId: string;
}

/** One commit for each command and each report, or one message for each event of it, or as many commands in one as wait together. */
export type Grouping =
  | { readonly kind: 'event' }
  | { readonly kind: 'command' }
  | { readonly kind: 'group'; readonly size: number };

interface Draft {
  readonly host: string;
  readonly reports: boolean;
  readonly events: Event[];
}

const pad = (number: number): string => number.toString(36).padStart(12, '0');

class Author {
  private count = 0;

  event(draft: Draft, fact: Fact, command: number, type: string, causation: string | null): Event {
    const n = ++this.count;
    const timeMs = STARTED_MS + n;
    const id = commandId(STARTED_MS + command, `w${command}`);
    const event = {
      ...fact,
      version: eventVersions[fact.type],
      meta: {
        id: `${pad(n)}.0`,
        source: `/cnm/bench/${draft.reports ? `worker/${draft.host}` : 'controller'}`,
        subject: `endpoint/${pad(command)}`,
        time: new Date(timeMs).toISOString(),
        actor: 'scheduler',
        commandid: id,
        correlationid: id,
        causationid: causation ?? id,
        ...(causation === null
          ? {
              commandtype: type,
              commandseq: command,
              commanddigest: HASH,
              executors: draft.host,
              deadline: new Date(timeMs + 30_000).toISOString(),
            }
          : {}),
      },
    } as Event;
    draft.events.push(event);
    return event;
  }
}

const endpoint = ({ endpointId, networkId, name }: Workload) => ({ endpointId, networkId, name });
const mac = (n: number): string =>
  `02:42:0a:${[n >> 16, n >> 8, n].map((b) => (b & 255).toString(16).padStart(2, '0')).join(':')}`;

const noDns = { servers: null, search: null, options: null };
const sandboxFacts = (w: Workload) => ({
  ...{ id: w.sandbox, incarnation: w.incarnation, key: keyOf(w), owned: true, hostname: null, domainname: null },
  ...{ dns: noDns, extraHosts: [], ports: [], owner: null, leaseMs: null, afterReboot: 'recreate' as const },
  ...{ files: `/run/cnm/files/${w.incarnation}` },
});
const keyOf = (w: Workload): string => `/run/cnm/netns/${w.incarnation}`;
/** What an endpoint may have beside its addresses, and this one has not. */
const plain = {
  ...{ aliases: [], ports: [], gatewayPriority: 0, interface: null, sysctls: {}, linkLocal: [], routes: [] },
  ...{ links: {}, services: [], options: {} },
};

const attach = (author: Author, w: Workload, n: number): readonly Draft[] => {
  const decided: Draft = { host: w.host, reports: false, events: [] };
  const reported: Draft = { host: w.host, reports: true, events: [] };
  const ipv4 = `10.${w.octets}/16`;
  const sandbox = { id: w.sandbox, incarnation: w.incarnation };
  const key = keyOf(w);
  const facts = sandboxFacts(w);
  const { endpointId: id, networkId, name } = w;
  const rest = { ...plain, labels: { job: 'web' }, gc: null, origin: 'attach' as const };
  const created = author.event(
    decided,
    {
      type: 'EndpointCreateRequested',
      data: { endpoint: { id, networkId, name, ipv4, ipv6: null, mac: mac(n), wanted: null, static: false, ...rest } },
    },
    n,
    'AttachSandbox',
    null,
  );
  const joined = author.event(
    decided,
    {
      type: 'EndpointJoinRequested',
      data: {
        ...endpoint(w),
        joinId: w.joinId,
        sandbox: facts,
        interface: 'eth0',
        ipv4,
        ipv6: null,
        mac: mac(n),
        gateways: { ipv4: id, ipv6: null },
      },
    },
    n,
    'AttachSandbox',
    null,
  );
  author.event(reported, { type: 'SandboxCreated', data: { sandbox: facts } }, n, '', joined.meta.id);
  author.event(reported, { type: 'EndpointCreated', data: endpoint(w) }, n, '', created.meta.id);
  const routes = [{ destination: '0.0.0.0/0', gateway: '10.0.0.1' }];
  author.event(
    reported,
    {
      type: 'EndpointJoined',
      data: {
        ...endpoint(w),
        sandbox,
        key,
        interface: 'eth0',
        ipv4,
        ipv6: null,
        mac: mac(n),
        routes,
        ports: [],
        peer: null,
      },
    },
    n,
    '',
    joined.meta.id,
  );
  return [decided, reported];
};

const detach = (author: Author, w: Workload, n: number): readonly Draft[] => {
  const decided: Draft = { host: w.host, reports: false, events: [] };
  const reported: Draft = { host: w.host, reports: true, events: [] };
  const sandbox = { id: w.sandbox, incarnation: w.incarnation };
  const facts = sandboxFacts(w);
  const joined = { joinId: w.joinId, sandbox: facts, interface: 'eth0' };
  const gateways = { ipv4: null, ipv6: null };
  const before = { index: 0, gateways: { ipv4: w.endpointId, ipv6: null } };
  const left = author.event(
    decided,
    { type: 'EndpointLeaveRequested', data: { ...endpoint(w), ...joined, last: true, gateways, before } },
    n,
    'DetachSandbox',
    null,
  );
  const deleted = author.event(
    decided,
    { type: 'EndpointDeleteRequested', data: { ...endpoint(w), cause: 'detach', garbage: null } },
    n,
    'DetachSandbox',
    null,
  );
  author.event(reported, { type: 'EndpointLeft', data: { ...endpoint(w), sandbox } }, n, '', left.meta.id);
  author.event(reported, { type: 'EndpointDeleted', data: endpoint(w) }, n, '', deleted.meta.id);
  author.event(reported, { type: 'SandboxRemoved', data: { sandbox: facts } }, n, '', left.meta.id);
  return [decided, reported];
};

const hostFacts = (author: Author, host: string): Draft => {
  const stated: Draft = { host, reports: true, events: [] };
  const paths = { runDir: '/run/cnm', netnsRoots: ['/run', '/proc'], bootId: 'b', kernel: '6.12.0' };
  const network = {
    routes: ['192.168.0.0/24'],
    mtu: 1500,
    ula: 'fd00:1:2::/48',
    pools: [{ base: '10.0.0.0/8', size: 24 }],
  };
  const data = { host, ...paths, ...network, capabilities: { bridge: true, veth: true }, reads: {} };
  const more = { epoch: 1, underlay: null, vlans: [], drivers: [], linkRoutes: {}, underlayAsked: null };
  author.event(stated, { type: 'HostFacts', data: { ...data, ...more } }, 1, '', '');
  return stated;
};

const opening = (author: Author, networkIds: readonly string[]): readonly Draft[] =>
  networkIds.flatMap((id, n) => {
    const host = `host${n % HOSTS}`;
    const decided: Draft = { host, reports: false, events: [] };
    const reported: Draft = { host, reports: true, events: [] };
    const subnets = [
      { family: 4 as const, subnet: '10.0.0.0/8', range: null, gateway: '10.0.0.1', aux: {}, vni: null, pool: null },
    ];
    const network = {
      id,
      name: `net${n}`,
      driver: 'bridge',
      ipv4: true,
      ipv6: false,
      internal: false,
      mtu: null,
      subnets,
      options: {},
      labels: {},
      gc: null,
      configOnly: false,
      configFrom: null,
      ...({ scope: 'host', defaultRoute: 'gateway', outlet: false } as const),
      ...{ tunnel: null, parent: null, owner: null, leaseMs: null, drift: 'repair' as const },
      dns: noDns,
    };
    const ipam = { driver: 'default', options: {}, overlap: false };
    const made = author.event(
      decided,
      { type: 'NetworkCreateRequested', data: { network: { ...network, ipam } } },
      n,
      'CreateNetwork',
      null,
    );
    author.event(
      reported,
      { type: 'NetworkCreated', data: { networkId: id, name: network.name } },
      n,
      '',
      made.meta.id,
    );
    return [decided, reported];
  });

function* drafts(events: number): Generator<Draft> {
  const author = new Author();
  const networkIds = Array.from({ length: 2 * HOSTS }, (_, n) => pad(n));
  let written = 0;
  const count = (draft: Draft): Draft => {
    written += draft.events.length;
    return draft;
  };
  for (let n = 0; n < HOSTS; n++) yield count(hostFacts(author, `host${n}`));
  for (const draft of opening(author, networkIds)) yield count(draft);
  const alive: Workload[] = [];
  for (let n = 100; written < events; n++) {
    const oldest = alive.length >= ALIVE ? alive.shift() : undefined;
    if (oldest) for (const draft of detach(author, oldest, n++)) yield count(draft);
    const which = n % networkIds.length;
    const w: Workload = {
      host: `host${which % HOSTS}`,
      networkId: networkIds[which] ?? '',
      endpointId: pad(1_000_000 + n),
      name: `task-${n}`,
      octets: `${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`,
      sandbox: `task-${n}`,
      incarnation: pad(2_000_000 + n),
      joinId: pad(3_000_000 + n),
    };
    alive.push(w);
    for (const draft of attach(author, w, n)) yield count(draft);
  }
}

const commitOf = (draft: Draft, events: readonly Event[]): BenchCommit => ({
  subject: draft.reports ? subjects.outcome(draft.host) : subjects.host(draft.host),
  id: events[0]?.meta.id ?? '',
  body: encodeCommit(events),
  headers: {
    'Content-Type': 'application/cloudevents-batch+json',
    'Cnm-Prev-Hash': HASH,
    ...(draft.reports ? {} : { 'Cnm-Commands': '12345678-12345678' }),
  },
  events: events.length,
});

/** Decisions and reports of one host that wait to be written together. */
interface Waiting {
  readonly decided: Draft[];
  readonly reported: Draft[];
}

function* flush({ decided, reported }: Waiting): Generator<BenchCommit> {
  for (const drafts of [decided, reported]) {
    const [first] = drafts;
    const events = drafts.flatMap((draft) => draft.events);
    if (first) yield commitOf(first, events);
    drafts.length = 0;
  }
}

/** Commits with about so many events in all. */
export function* benchLog(events: number, grouping: Grouping): Generator<BenchCommit> {
  const waiting = new Map<string, Waiting>();
  for (const draft of drafts(events)) {
    if (grouping.kind === 'event') for (const event of draft.events) yield commitOf(draft, [event]);
    else if (grouping.kind === 'command') yield commitOf(draft, draft.events);
    else {
      const group = waiting.get(draft.host) ?? { decided: [], reported: [] };
      waiting.set(draft.host, group);
      (draft.reports ? group.reported : group.decided).push(draft);
      if (group.reported.length >= grouping.size) yield* flush(group);
    }
  }
  for (const group of waiting.values()) yield* flush(group);
}

/** The same with guards, ids and hashes as services write them. For an empty stream. */
export function* chainedLog(events: number, grouping: Grouping, stream: string): Generator<BenchCommit> {
  const heads = new Map<string, { readonly position: number; readonly hash: string }>();
  let position = 0;
  for (const commit of benchLog(events, grouping)) {
    const { subject } = commit;
    const id = commit.id.replace(/\.0$/, '');
    const before = heads.get(subject);
    const { 'Cnm-Prev-Hash': _, ...rest } = commit.headers;
    const stored = storedHeaders(stream, {
      subject,
      id,
      body: '',
      expectedLast: before?.position ?? 0,
      headers: { ...rest, ...(before ? { 'Cnm-Prev-Hash': before.hash } : {}) },
    });
    const cloud = JSON.parse(commit.body) as Record<string, unknown>[];
    const body = JSON.stringify(cloud.map((event, index) => ({ ...event, id: `${id}.${index}` })));
    position += 1;
    const hash = chainHash({ subject, headers: () => stored, body: Buffer.from(body) });
    heads.set(subject, { position, hash });
    yield { ...commit, id, body, headers: Object.fromEntries(stored) };
  }
}

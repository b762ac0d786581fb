/** One recorded event as a person reads it. Pure. */
import type { RecordedEvent } from '../client/index.ts';
import { type Binding, describeBindings } from './port-values.ts';

/** `EndpointJoined` of `cnm.EndpointJoined.v1`. */
export const shortType = (type: string): string => type.split('.')[1] ?? type;

type Data = Readonly<Record<string, unknown>>;

const object = (value: unknown): Data => (typeof value === 'object' && value !== null ? (value as Data) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const addresses = (data: Data): string =>
  [data.ipv4, data.ipv6]
    .map(text)
    .filter((address) => address !== '')
    .join(' ');

const aboutDrift = (data: Data): string => {
  const { kind, name } = object(data.of);
  const changes = list(data.changes).map(object);
  const what = changes.map(({ object: key, before, after }) => `${text(key)}: ${text(before)} -> ${text(after)}`);
  const suspects = list(data.suspects).map(text);
  return [
    `${text(kind)} ${text(name)}`,
    text(data.reason),
    ...what.slice(0, 3),
    suspects.length > 0 ? `by ${suspects.join(', ')}` : '',
  ]
    .filter((part) => part !== '')
    .join('; ');
};

const ofLoad = (type: string, data: Data): string => {
  if (type === 'CommandsRefused')
    return `${String(data.count)} of ${text(data.actor)}: ${text(data.code)}: ${text(data.detail)}`;
  if (type === 'CapacityStated') return `host ${text(data.host)}`;
  if (type !== 'QuotaSet')
    return `${String(data.used)} of ${String(data.limit)} ${text(data.what)} on host ${text(data.host)}`;
  const limits = Object.entries(object(data.limits)).filter(([, limit]) => limit !== null);
  const said = limits.map(([name, limit]) => `${name} ${String(limit)}`).join(', ') || 'no limit';
  return `${text(data.actor) || 'everybody'}: ${data.limits === null ? 'no quota any more' : said}`;
};

const ofLease = (type: string, data: Data): string => {
  const [sandbox, network] = [text(object(data.sandbox).id), text(object(data.network).name)];
  const what = sandbox === '' ? `network ${network}` : `sandbox ${sandbox}`;
  return type === 'LeaseSuspected'
    ? `${what}, ran out ${text(data.expiredAt)}`
    : `${what} for ${Number(data.leaseMs) / 1000} s`;
};

const about = (type: string, data: Data): string => {
  if (/^(Capacity|Quota|CommandsRefused)/.test(type)) return ofLoad(type, data);
  if (type.startsWith('Lease')) return ofLease(type, data);
  if (type.startsWith('Network')) {
    const { name, subnets } = object(data.network);
    const cidrs = list(subnets ?? data.subnets)
      .map((subnet) => text(object(subnet).subnet))
      .join(' ');
    return `network ${text(data.name) || text(name)} ${cidrs}`;
  }
  if (type === 'EndpointCreateRequested') {
    const endpoint = object(data.endpoint);
    return `endpoint ${text(endpoint.name)} ${addresses(endpoint)}`;
  }
  if (type.startsWith('Endpoint') || type === 'JoinSettled') {
    const sandbox = text(object(data.sandbox).id);
    const { since, reason } = object(data.garbage);
    const why = text(data.reason) || text(reason);
    return [
      `endpoint ${text(data.name)}`,
      addresses(data),
      sandbox && `sandbox ${sandbox}`,
      describeBindings(list(data.ports) as readonly Binding[]),
      why && `${why}${since ? ` since ${text(since)}` : ''}`,
    ]
      .filter((part) => part !== '')
      .join(' ');
  }
  if (type === 'PortsLeased') {
    const found = list(data.ports).map(object);
    return `host ports ${found.map(({ hostPort, holder }) => `${String(hostPort)} for ${text(holder)}`).join(', ')}`;
  }
  if (type.startsWith('Sandbox')) return `sandbox ${text(object(data.sandbox).id)} ${text(object(data.sandbox).key)}`;
  if (type === 'CommandRefused') return `${text(data.command)}: ${text(data.code)}: ${text(data.detail)}`;
  if (type === 'CommandTimedOut' || type === 'CommandCancelled')
    return `${text(data.command)} of ${text(data.actor)}${data.reason ? `: ${text(data.reason)}` : ''}`;
  if (type === 'HostFacts') return `host ${text(data.host)} kernel ${text(data.kernel)}`;
  if (type === 'HostLost') return `host ${text(data.host)}: ${text(data.reason)}`;
  if (type === 'PeersForgotten') return `host ${text(data.host)}`;
  if (type === 'HostLapsed') return `host ${text(data.host)}, away since ${text(data.since)}`;
  if (type.startsWith('Drift')) return aboutDrift(data);
  if (type === 'HostResumed') return `host ${text(data.host)}, ${text(data.held)} what the log does not know`;
  if (type === 'LogRegressed') {
    const [seen, found] = [object(data.seen), object(data.found)];
    const stopped = data.stopped === true ? 'stopped' : 'goes on';
    return `host ${text(data.host)} ${stopped}: had read ${String(seen.position)}, the log ends at ${String(found.position)}; ${list(data.held).length} held`;
  }
  if (type.startsWith('Parked')) {
    return `event ${String(data.position)}.${String(data.index)}${data.reason ? `: ${text(data.reason)}` : ''}`;
  }
  if (type.startsWith('LegalHold'))
    return `hold ${text(data.name)} on ${text(data.subject) || 'everything'}: ${text(data.reason)}`;
  if (type === 'SegmentOpened') {
    const { first, last, file } = object(data.previous);
    return `segment ${String(data.segment)}; ${String(first)} to ${String(last)} are in ${text(file)}`;
  }
  if (type === 'SubjectShredded') return `subject ${text(data.subject)}: ${text(data.reason)}`;
  if (type === 'TunnelKeysRotated') return `generation ${String(data.generation)}`;
  if (type === 'RealmOpened') return `realm ${text(data.realm)}`;
  return text(data.driver) === '' ? '' : `driver ${text(data.driver)}`;
};

/** What it is about and, where it is a failure, why. */
export const describeEvent = (event: Pick<RecordedEvent, 'type' | 'data'>): string => {
  const { code, step, text: said } = object(event.data.fault);
  const fault = code === undefined ? '' : ` ${text(code)}: ${text(step)}: ${text(said)}`;
  return `${about(shortType(event.type), event.data).trim()}${fault}`;
};

/** Networks that only hold settings, and networks that take theirs from one of those (libnetwork: ConfigOnly, ConfigFrom). */
import type { CommandData } from '../commands.ts';
import type { NetworkFacts } from '../events.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { BoundaryState, NetworkRow } from '../state.ts';
import { networkAnswers } from '../states.ts';
import { found, networkCulprit, type Result } from './context.ts';

type Request = CommandData<'CreateNetwork'>;

/** What another network's settings stand in place of. A field that has its default counts as left out. */
const ownSettings = ({ ipv4, ipv6, ipam, options, labels, dns }: Request): string | undefined => {
  const said: readonly (readonly [field: string, isSaid: boolean])[] = [
    ['ipv4', !ipv4],
    ['ipv6', ipv6],
    ['ipam.driver', ipam.driver !== 'default'],
    ['ipam.options', Object.keys(ipam.options).length > 0],
    ['ipam.subnets', ipam.subnets.length > 0],
    ['ipam.overlap', ipam.overlap],
    ['options', Object.keys(options).length > 0],
    ['labels', Object.keys(labels).length > 0],
    ['dns', dns !== undefined],
  ];
  return said.find(([, isSaid]) => isSaid)?.[0];
};

const conflicts = (field: string, why: string): Refusal =>
  refuse('CONFIG_CONFLICT', `${field} cannot be given: ${why}`, [{ kind: 'field', id: field }]);

/** What a network that only holds settings cannot have. */
const checkHolder = (request: Request): Refusal | null => {
  if (request.configFrom !== undefined)
    return conflicts('configFrom', 'a network that holds settings for others has its own');
  const idle = [
    ...(request.internal ? ['internal'] : []),
    ...(request.gc === undefined ? [] : ['gc']),
    ...(request.drift === 'repair' ? [] : ['drift']),
    ...(request.driver === 'bridge' || request.driver === 'null' ? [] : ['driver']),
  ];
  return idle[0] === undefined ? null : conflicts(idle[0], 'a network that only holds settings takes no endpoints');
};

/** Null where the network said nothing itself, as in a request. */
const given = <T>(value: T | null): T | undefined => value ?? undefined;

const taken = (request: Request, { facts }: NetworkRow): Request => {
  const { servers, search, options } = facts.dns;
  const saysDns = servers !== null || search !== null || options !== null;
  const dns = {
    ...(servers === null ? {} : { servers }),
    ...(search === null ? {} : { search }),
    ...(options === null ? {} : { options }),
  };
  const subnets = facts.subnets.map(({ family, subnet, range, gateway, aux }) => ({
    ...{ family, subnet, aux },
    range: given(range),
    gateway: given(gateway),
  }));
  return {
    ...request,
    ipv4: facts.ipv4,
    ipv6: facts.ipv6,
    ipam: { ...facts.ipam, subnets },
    options: facts.options,
    labels: facts.labels,
    ...(saysDns ? { dns } : {}),
  };
};

/** The request as it is meant: with the settings of the network that it names in `configFrom`. */
export const withConfig = (state: BoundaryState, request: Request): Result<Request> => {
  if (request.configOnly) return checkHolder(request) ?? found(request);
  const { configFrom } = request;
  if (configFrom === undefined) return found(request);
  const row = state.networks.get(state.networkNames.get(configFrom.toLowerCase()) ?? '');
  if (!row)
    return refuse('NETWORK_NOT_FOUND', `there is no network ${configFrom} to take settings from`, [
      { kind: 'network', id: configFrom },
    ]);
  if (!row.facts.configOnly)
    return refuse('CONFIG_CONFLICT', `network ${row.facts.name} holds no settings for others`, [networkCulprit(row)]);
  const field = ownSettings(request);
  return field === undefined ? found(taken(request, row)) : conflicts(field, `it comes from network ${configFrom}`);
};

/** The networks whose settings come from this one: as long as they are there it stays, so that one can see what they are. */
export const usersOf = (state: BoundaryState, { configOnly, name }: NetworkFacts): readonly NetworkRow[] => {
  if (!configOnly) return [];
  return [...state.networks.values()].filter(
    ({ facts, status }) =>
      facts.configFrom?.toLowerCase() === name.toLowerCase() && networkAnswers.CreateNetwork[status] !== 'accepted',
  );
};

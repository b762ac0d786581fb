/** `cnm why`: what an interface, an address, a host port or a namespace of this host is for, and who asked for it. */
import { statSync } from 'node:fs';
import { lookUpLink, lookUpListener } from '../../drivers/kernel/lookup.ts';
import { parseTag } from '../../drivers/objects.ts';
import { formatIp, parseIp } from '../../events/ip.ts';
import { isPort } from '../../projections/event-ports.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Client } from '../client/index.ts';
import type { Config } from '../lib/config.ts';
import { type Context, NotFound, printJson, withClient } from './context.ts';
import { tellPutAway } from './ever.ts';
import { jsonOption, type Spec } from './spec.ts';
import { type Asked, askedBy, describeChain, type Entity, endsOf } from './why-chain.ts';

/** What it is, and the things of ours that it belongs to; none: it is not ours, and `what` says what else is known. */
interface Finding {
  readonly what: string;
  readonly entities: readonly Entity[];
}

/** A thing by id as it is called now; by its id where it is gone. */
const named = async (client: Client, kind: Entity['kind'], id: string): Promise<Entity> => {
  if (kind === 'network') {
    const { rows } = await client.networks({ filter: { id } });
    return { kind, id, name: rows[0]?.name ?? id };
  }
  if (kind === 'endpoint') {
    const { rows } = await client.endpoints({ filter: { id } });
    return { kind, id, name: rows[0] ? `${rows[0].network}/${rows[0].name}` : id };
  }
  const { rows } = await client.sandboxes({ filter: { incarnation: id } });
  return { kind, id, name: rows[0]?.id ?? id };
};

const ofInterface = async (client: Client, { realm, host }: Config, name: string): Promise<Finding> => {
  const link = lookUpLink(name);
  if (link === null) return { what: `no interface ${name} here`, entities: [] };
  const what = `${link.kind || 'interface'} ${name}`;
  const tag = parseTag(link.alias);
  if (tag === null) return { what, entities: [] };
  if (tag.realm !== realm || tag.host !== host) {
    return { what: `${what} of host ${tag.host} in realm ${tag.realm}`, entities: [] };
  }
  return { what, entities: [await named(client, tag.entity, tag.id)] };
};

const ofAddress = async (client: Client, address: string): Promise<Finding> => {
  const what = `address ${address}`;
  const { rows } = await client.addresses({ filter: { address } });
  const entities = rows.map(({ kind, networkId, network, holderId, holder }): Entity => {
    if (kind !== 'endpoint' || holderId === null) return { kind: 'network', id: networkId, name: network };
    return { kind, id: holderId, name: `${network}/${holder}` };
  });
  if (entities.length > 0) return { what, entities };
  const held = (await client.ledger({ filter: { kind: 'address', what: address } })).rows.at(-1);
  if (!held?.until) return { what, entities };
  const { holderKind, holder, holderId, until } = held;
  return { what: `${what}, held by ${holderKind} ${holder ?? holderId} until ${until.occurred}`, entities };
};

const ofPort = async (
  client: Client,
  { host }: Config,
  { protocol, port }: { readonly protocol: string; readonly port: number },
): Promise<Finding> => {
  const what = `port ${port}/${protocol}`;
  const { rows } = await client.ports({ filter: { host, protocol } });
  const wanted = { host: null, protocol, port };
  const holders = rows.filter(({ hostPort: first, count }) =>
    isPort(wanted, { holder: null, protocol, first, count }, host),
  );
  const byId = new Map(
    holders.map(({ holderKind: kind, holderId: id, holder, network }) => [
      id,
      { kind, id, name: kind === 'endpoint' ? `${network}/${holder}` : holder } satisfies Entity,
    ]),
  );
  if (byId.size > 0) return { what, entities: [...byId.values()] };
  const listener = lookUpListener(protocol, port);
  return { what: listener === null ? `${what}, where nobody listens` : `${what} of ${listener}`, entities: [] };
};

/** Which namespace a file stands for, whatever it is called; null where there is none that this user can see. */
const identityOf = (path: string): string | null => {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
};

/** By whichever path: the key of a sandbox, or what /proc has of a process in it. */
const ofNamespace = async (client: Client, { host }: Config, path: string): Promise<Finding> => {
  const asked = identityOf(path);
  const { rows } = await client.sandboxes({ filter: { host } });
  const isMeant = (key: string | null): boolean =>
    key === path || (key !== null && asked !== null && identityOf(key) === asked);
  const entities = rows
    .filter(({ key }) => isMeant(key))
    .map(({ id: name, incarnation: id }) => ({ kind: 'sandbox', id, name }) as const);
  return { what: asked === null ? `no namespace ${path} here` : `namespace ${path}`, entities };
};

const find = (client: Client, config: Config, asked: Asked): Promise<Finding> => {
  switch (asked.kind) {
    case 'interface':
      return ofInterface(client, config, asked.name);
    case 'address':
      return ofAddress(client, asked.address);
    case 'port':
      return ofPort(client, config, asked);
    case 'namespace':
      return ofNamespace(client, config, asked.path);
  }
};

/** With a prefix behind it as well, as kernels show it. */
const addressOf = (text: string): string | null => {
  const ip = parseIp(bareAddress(text));
  return ip && formatIp(ip.family, ip.value);
};

const tell = async (context: Context, client: Client, { what, entities }: Finding, json: boolean): Promise<number> => {
  const told = await Promise.all(
    entities.map(async (entity) => {
      const { rows } = await client.history({ filter: { [entity.kind]: entity.id } });
      return { entity, links: endsOf(rows, entity) };
    }),
  );
  if (json) {
    printJson(context, { ours: told.length > 0, what, because: told });
  } else if (told.length === 0) throw new NotFound(`${what}: not ours`, 'Nothing: whoever made it answers for it.');
  else {
    if (told.some(({ links }) => links.length === 0)) await tellPutAway(context, client);
    for (const { entity, links } of told) context.out(describeChain(what, entity, links));
  }
  return told.length > 0 ? 0 : 1;
};

const why: Spec = {
  path: 'why',
  args: ['INTERFACE|ADDRESS|PORT|NAMESPACE'],
  summary: 'what it is for, which command made it and who asked; a port is written PORT[/PROTO]. Exit code 1: not ours',
  options: { ...jsonOption },
  run: (call, context) =>
    withClient(context, async (client) => {
      const finding = await find(client, context.config, askedBy(call.args[0] ?? '', addressOf));
      return tell(context, client, finding, call.flag('json'));
    }),
};

export const whySpecs: readonly Spec[] = [why];

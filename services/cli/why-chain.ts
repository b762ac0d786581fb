/** From a thing to who asked for it, as text. Pure. */

import type { HistoryRow } from '../../events/past-queries.ts';
import { actorText } from './actor-text.ts';
import { shortTook } from './history.ts';
import { shortTime } from './table.ts';

export type Asked =
  | { readonly kind: 'interface'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'port'; readonly protocol: string; readonly port: number }
  | { readonly kind: 'namespace'; readonly path: string };

/** What a word of the command line means. `isAddress` says whether it is an address, and how that is spelled. */
export const askedBy = (text: string, addressOf: (text: string) => string | null): Asked => {
  if (text.startsWith('/')) return { kind: 'namespace', path: text };
  const [, port, protocol = 'tcp'] = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text) ?? [];
  if (port !== undefined && Number(port) >= 1 && Number(port) <= 65_535)
    return { kind: 'port', protocol, port: Number(port) };
  const address = addressOf(text);
  return address === null ? { kind: 'interface', name: text } : { kind: 'address', address };
};

/** The thing of ours that stands behind what was asked about. */
export interface Entity {
  readonly kind: 'network' | 'endpoint' | 'sandbox';
  readonly id: string;
  /** `web/db` of an endpoint, the caller's name of a sandbox. */
  readonly name: string;
}

/** How events name an entity in their CloudEvents subject: sandboxes by the caller's name. */
const aboutOf = ({ kind, id, name }: Entity): string => `${kind}/${kind === 'sandbox' ? name : id}`;

export interface Link {
  readonly event: HistoryRow['events'][number];
  readonly row: HistoryRow;
}

/** What made an entity and what was done to it last. Of a sandbox: the first and last command that it had to do with. */
export const endsOf = (rows: readonly HistoryRow[], entity: Entity): readonly Link[] => {
  const about = aboutOf(entity);
  const links = rows.flatMap((row) => {
    const events = entity.kind === 'sandbox' ? row.events : row.events.filter((event) => event.about === about);
    return events.map((event) => ({ event, row }));
  });
  const [first, last] = [links[0], links.at(-1)];
  if (!first || !last) return [];
  return first.row === last.row ? [first] : [first, last];
};

const commandOf = ({ command, commandid, tookMs, ...asked }: HistoryRow): string => {
  if (commandid === '') return 'noticed by a service';
  const took = tookMs === null ? '' : `, ${shortTook(tookMs)}`;
  return `${command} ${commandid} by ${actorText(asked)}${took}`;
};

/** `veth cv1 -> endpoint web/db (3k..) -> EndpointJoined 812.0 -> AttachSandbox mhx.. by alice (claimed), 12 ms, 2026-01-31 14:03:07` */
export const describeChain = (what: string, { kind, id, name }: Entity, links: readonly Link[]): string => {
  const head = `${what} -> ${kind} ${name} (${id})`;
  if (links.length === 0) return `${head} -> nothing is recorded about it\n`;
  const lines = links.map(
    ({ event, row }) => `${event.type} ${event.position} -> ${commandOf(row)}, ${shortTime(event.time)}`,
  );
  return lines.map((line, n) => (n === 0 ? `${head} -> ${line}\n` : `  last: ${line}\n`)).join('');
};

/** What a census gathers, whole or in part. */
import { type KernelObject, parseTag, type Tag } from '../objects.ts';
import type { Census } from '../port.ts';
import { describeFailure } from './failure.ts';
import type { Host } from './host.ts';
import type { LinkRecord } from './records.ts';
import { isDead } from './transaction.ts';

export interface Findings {
  readonly objects: KernelObject[];
  readonly unknown: { readonly what: string; readonly reason: string }[];
  readonly remarks: Record<string, string>;
  readonly settings: Record<string, string>;
  readonly outdated: string[];
}

export const emptyFindings = (): Findings => ({ objects: [], unknown: [], remarks: {}, settings: {}, outdated: [] });

export interface OwnLink {
  readonly link: LinkRecord;
  readonly tag: Tag;
}

/** Reads something; when it cannot be read, all that it would have told of is unknown. */
export const attempt = <T>(findings: Findings, unknown: readonly string[], read: () => T): T | null => {
  try {
    return read();
  } catch (error) {
    const reason = describeFailure(error);
    findings.unknown.push(...unknown.map((what) => ({ what, reason })));
    return null;
  }
};

export const ownTag = (host: Host, label: string): Tag | null => {
  const tag = parseTag(label);
  return tag && tag.realm === host.realm && tag.host === host.host ? tag : null;
};

/** Beginnings of keys (`objectKey`), for when nothing of a kind could be read. */
export const kinds = {
  netns: 'netns ',
  device: 'device ',
  route: 'route ',
  resolver: 'resolver ',
  link: 'link ',
  element: 'element ',
  file: 'file ',
} as const;

/** Links of this realm and host, apart from those that only wait for the reaper. */
export const ownLinks = (host: Host, links: Iterable<LinkRecord>): readonly OwnLink[] =>
  [...links].flatMap((link) => {
    const tag = isDead(host, link) ? null : ownTag(host, link.alias);
    return tag ? [{ link, tag }] : [];
  });

/** What is told of a census: what nobody has to know of is left out. */
export const censusOf = ({ objects, unknown, remarks, settings, outdated }: Findings): Census => ({
  objects,
  unknown,
  ...(Object.keys(remarks).length > 0 && { remarks }),
  ...(Object.keys(settings).length > 0 && { settings }),
  ...(outdated.length > 0 && { outdated }),
});

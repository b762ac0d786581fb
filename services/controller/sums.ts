/** The commit that records summed refusals: on the subject of no host, guarded like any other. */
import type { Event } from '../../events/envelope.ts';
import { encodeCommit, eventVersions } from '../../events/envelope.ts';
import { commandId } from '../../events/names.ts';
import { aboutOf } from '../lib/about.ts';
import type { Boundary } from '../lib/realm.ts';
import type { Append } from '../lib/stream.ts';
import { fenceOf, roundHeader } from './commits.ts';
import { factOf, type Sender, type Sum } from './refusals.ts';
import type { RoundContext } from './round.ts';

/** A sum, and those of its senders that are recorded now. */
export interface Recorded {
  readonly sum: Sum;
  readonly senders: readonly Sender[];
}

/** @param from every command before it is decided */
export const sumsOf = (
  boundary: Boundary,
  recorded: readonly Recorded[],
  from: number,
  {
    realmName,
    nowMs,
    actorProof: actorproof,
    newId,
  }: Pick<RoundContext, 'realmName' | 'nowMs' | 'actorProof' | 'newId'>,
): Append => {
  const id = newId();
  const events = recorded.map(({ sum, senders }, index): Event => {
    const fact = factOf(sum, senders);
    const commandid = commandId(nowMs, `refused/${id}.${index}`);
    const meta: Event['meta'] = {
      id: `${id}.${index}`,
      source: `/cnm/${realmName}/controller`,
      subject: aboutOf(fact),
      time: new Date(nowMs).toISOString(),
      actor: sum.actor,
      actorproof,
      commandid,
      correlationid: commandid,
      causationid: commandid,
    };
    return { ...fact, version: eventVersions[fact.type], meta } as Event;
  });
  const fence = fenceOf(boundary, id);
  const through = Math.max(...recorded.flatMap(({ senders }) => senders.map(({ sequence }) => sequence)));
  return { ...fence, body: encodeCommit(events), headers: { ...fence.headers, ...roundHeader(from, through) } };
};

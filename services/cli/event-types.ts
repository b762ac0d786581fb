/** Types of events as they are named in a call: `EndpointJoined,EndpointLeft`. */
import { eventVersions } from '../../events/envelope.ts';
import type { EventType } from '../../events/events.ts';
import { UsageError } from './spec.ts';

/** @throws UsageError naming those that there are not */
export const typesOf = (text: string): readonly EventType[] => {
  const types = text.split(',').map((type) => type.trim());
  const unknown = types.filter((type) => !Object.hasOwn(eventVersions, type));
  if (unknown.length > 0) throw new UsageError(`no event types: ${unknown.join(', ')}; docs/events.md has them all`);
  return types as EventType[];
};

/** Which part of the log has to be read for a filter over events. */
import { subjects } from '../../events/names.ts';
import type { EventFilter, FilterMemory } from '../../projections/event-filter.ts';
import type { ReadOptions } from '../lib/stream.ts';

/** Networks of the realm are made, changed and ended on no host. */
const ofTheRealm = 'cnm.event.realm.>';

/** Of a host its own subjects, and what has to be learnt beside them. */
export const readOf = (
  { host, network }: EventFilter,
  { labelled }: Pick<FilterMemory, 'labelled'>,
): Pick<ReadOptions, 'subjects'> => {
  if (host === undefined) return {};
  const own = [subjects.host(host), subjects.outcome(host)];
  return { subjects: network === undefined && labelled === undefined ? own : [...own, ofTheRealm] };
};

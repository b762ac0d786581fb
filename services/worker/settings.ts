/**
 * Facts as they hold in the kernel while updates are under way. A row's facts have the settings of its latest update as soon as that
 * is accepted; until an update is executed, what it replaces is what counts, also for all else that is executed meanwhile. Pure.
 */
import type { EndpointFacts, NetworkFacts } from '../../events/events.ts';
import type { EndpointRow, NetworkRow } from '../../events/state.ts';
import type { Update } from '../../events/updates.ts';

/** The settings that the oldest open update replaces; null where none is open. */
const oldest = <S>(update: Update<S> | null): S | null => {
  let settings: S | null = null;
  for (let each = update; each !== null; each = each.earlier) settings = each.before;
  return settings;
};

/** The settings that later updates replace, from the named one on; null where there are no later ones. */
const following = <S>(update: Update<S> | null, intent: string): S | null => {
  let settings: S | null = null;
  for (let each = update; each !== null && each.intent !== intent; each = each.earlier) settings = each.before;
  return settings;
};

/** Without any update that is still to be executed. */
export const endpointNow = ({ facts, update }: EndpointRow): EndpointFacts => ({ ...facts, ...oldest(update) });
export const networkNow = ({ facts, update }: NetworkRow): NetworkFacts => ({ ...facts, ...oldest(update) });

/** As an update leaves it. */
export const endpointAfter = ({ facts, update }: EndpointRow, intent: string): EndpointFacts => ({
  ...facts,
  ...following(update, intent),
});
export const networkAfter = ({ facts, update }: NetworkRow, intent: string): NetworkFacts => ({
  ...facts,
  ...following(update, intent),
});

/** Changes in place that are not reported yet. They may follow each other without waiting, and each carries all settings. */

/** The latest update of a row; its settings stand in the row's facts. */
export interface Update<Settings> {
  /** Event id of its intent. */
  readonly intent: string;
  /** What holds again if it fails. */
  readonly before: Settings;
  /** The update that it followed while that was not reported. */
  readonly earlier: Update<Settings> | null;
}

export interface Ended<Settings> {
  readonly update: Update<Settings> | null;
  /** What the row's facts say again; null: what they say stays. */
  readonly restored: Settings | null;
}

/**
 * What is left of the updates of a row when one of them is reported. What was done makes those before it unimportant; what failed
 * leaves the one after it with what held before, should that fail too. Null: no such update is open.
 */
export const endUpdate = <Settings>(
  update: Update<Settings> | null,
  intent: string,
  hasFailed: boolean,
): Ended<Settings> | null => {
  if (update === null) return null;
  if (update.intent === intent)
    return hasFailed ? { update: update.earlier, restored: update.before } : { update: null, restored: null };
  const ended = endUpdate(update.earlier, intent, hasFailed);
  return (
    ended && { update: { ...update, earlier: ended.update, before: ended.restored ?? update.before }, restored: null }
  );
};

/** The settings that hold until an update is reported, of all updates that are open. */
export const beforeUpdates = <Settings>(update: Update<Settings> | null): readonly Settings[] =>
  update === null ? [] : [update.before, ...beforeUpdates(update.earlier)];

/** The next step for what the code alone says what to do about. Codes of commands and queries have theirs in docs/errors.md. */
const anotherCopy = 'Take another copy of the file, or make it anew: `cnm audit export FILE`.';
const whole = 'Export everything: `cnm audit export FILE`, without a filter and without --from.';

const remedies: Readonly<Record<string, string>> = {
  QUERY_MALFORMED: 'docs/views.md says what can be asked of which view.',
  QUERY_POSITION_UNKNOWN: 'Name a position that the log has: `cnm status` says where it ends.',
  EXPORT_INVALID: anotherCopy,
  EXPORT_PARTIAL: whole,
  EXPORT_RANGE: '`cnm status` says where the log ends.',
  EXPORT_OTHER: 'Name another file.',
  IMPORT_NOT_EMPTY:
    'Import onto a server of its own: CNM_NATS_URL and CNM_NATS_MONITOR_URL say which (docs/operations.md).',
  IMPORT_PARTIAL: whole,
  KEY_INVALID: '`cnm audit keygen FILE` makes a key, and FILE.pub to verify with.',
  KEY_EXISTS: 'Name another file: whatever was signed with that key is verified with it.',
  SEGMENT_UNSIGNED: '`cnm audit keygen FILE` makes one; set CNM_CHECKPOINT_KEY_FILE=FILE.',
  REPLAY_POSITION_UNKNOWN: 'Name a position or time that the export holds with --until.',
  REPLAY_HOST_UNKNOWN: 'Name one with --host.',
  REPLAY_SANDBOX_UNKNOWN: 'Name another, or a later moment with --until.',
  REPLAY_DAMAGED: '`cnm audit verify FILE` says all that was found.',
};

/** Empty where the detail says it. */
export const remedyOf = (code: string): string => remedies[code] ?? '';

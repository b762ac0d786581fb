/** The next step after a fault whose text does not say it: by code, and complete, since the compiler looks for every code of its kind. */
import type { ExportFaultCode } from '../audit/export-format.ts';
import type { ImportFaultCode } from '../audit/import.ts';
import type { KeyFaultCode } from '../audit/keys.ts';
import type { SegmentFaultCode } from '../audit/segment-fault.ts';
import type { SealFaultCode } from '../client/sealing.ts';
import type { NatsFaultCode } from '../nats/fault.ts';
import type { ReplayCode } from '../replay/fault.ts';

type Code =
  | NatsFaultCode
  | ExportFaultCode
  | ImportFaultCode
  | KeyFaultCode
  | SegmentFaultCode
  | SealFaultCode
  | ReplayCode;

export const faultRemedies: Readonly<Record<Code, string>> = {
  CONNECTION_CLOSED: 'Call it again; `cnm status` says whether the server is there.',
  CONNECT_TIMEOUT: 'Start it (`cnm up`, or your own), or say in CNM_NATS_URL where it is.',
  NOT_PERMITTED: 'Use settings that may: `cnm nats-config` gives each role its own (docs/operations.md, Accounts).',
  CREDENTIALS_UNREADABLE:
    'Name what `cnm nats-config` has written, where you may read it (docs/operations.md, Accounts).',
  TLS_REFUSED: 'CNM_NATS_CA_FILE names who has signed the certificate of the server; its name has to stand in it.',
  MESSAGE_INVALID: 'Use names that are shorter, and without blanks.',
  STREAM_NOT_FOUND: 'Start a controller: it makes the streams. `cnm status` says which there are.',
  STREAM_REGRESSED: 'The server has come back with an older copy: call it again, and see `cnm host ls`.',
  SERVER_REFUSED:
    'Look into the log of the server; on one with accounts it takes a role that may (docs/operations.md, Accounts).',
  READ_STOPPED: 'Call it again.',
  SERVER_FAILED: 'Look into its log, in CNM_DATA_DIR.',
  DATA_DIR_IN_USE: 'Use the one that runs, or name another CNM_DATA_DIR.',
  PORT_IN_USE: 'Name another CNM_NATS_PORT.',
  EXPORT_INVALID: '`cnm audit verify FILE` says where it is damaged; export once more, into another file.',
  EXPORT_PARTIAL: 'Name a file that `cnm audit export FILE` wrote without a filter.',
  EXPORT_RANGE: 'Name a position that the log has: `cnm status` says where it ends.',
  EXPORT_OTHER: 'Name another FILE, or move this one away.',
  EXPORT_READ_ONLY: 'Name a server (CNM_NATS_URL) for whatever writes.',
  IMPORT_PARTIAL: 'Export once more, from the first message: `cnm audit export FILE`.',
  IMPORT_NOT_EMPTY:
    'Import before anything of ours has run there: name an empty server in CNM_NATS_URL (docs/operations.md, Backup).',
  IMPORT_STOPPED: 'Remove the streams (`nats stream rm`), then import anew.',
  KEY_INVALID: 'Make one: `cnm audit keygen FILE`.',
  KEY_EXPOSED: 'Take it from the others (`chmod 600`); make another one where somebody may have read it.',
  KEY_EXISTS: 'Name another file: keys are never written over.',
  SEGMENT_UNSIGNED: 'Make a key with `cnm audit keygen FILE`, and name it in CNM_CHECKPOINT_KEY_FILE.',
  SEGMENT_IN_USE: 'Stop every service of the realm on every host, then call it again with the same FILE.',
  SEGMENT_BUSY: 'Wait until what is named has ended: `cnm status`; a host that is away has to come back first.',
  LEGAL_HOLD: 'See `cnm audit hold ls`: whoever set it lifts it.',
  SEGMENT_DAMAGED: '`cnm audit verify FILE` says what is wrong with the file; nothing is deleted until it is right.',
  SEGMENT_NOTHING: 'Name the FILE that it was begun with, or a server that has a log.',
  SEGMENT_TOO_LARGE: 'Wait until fewer commands of the last 30 days are left to carry over, or delete networks first.',
  SEGMENT_STOPPED: 'The same call with the same FILE goes on from there.',
  SEAL_INVALID: 'Name a subject such as s-4711, and a text of at most some 680 bytes.',
  SEAL_DAMAGED: 'Give the value as `cnm seal put` printed it.',
  SEAL_NO_KEY: 'Restore the stream CNM_KEY from its backup, if it is not meant to be forgotten.',
  SUBJECT_SHREDDED: 'Nothing brings it back: `cnm seal ls` says who shredded it, and why. Use a new subject.',
  REPLAY_POSITION_UNKNOWN: 'Name a position or time that the export has (`--until`).',
  REPLAY_HOST_UNKNOWN: 'Name one of those with `--host`.',
  REPLAY_SANDBOX_UNKNOWN: 'Name one of those with `--sandbox`.',
  REPLAY_DAMAGED: '`cnm audit verify FILE` says all that was found; without `--strict` it is built all the same.',
  REPLAY_INCOMPLETE: 'Load what the lines above name, or leave out `--strict`.',
};

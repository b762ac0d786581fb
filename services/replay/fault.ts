/** Why a moment cannot be replayed. */
export type ReplayCode =
  /** It is not in the export, or the export does not begin with the log. */
  | 'REPLAY_POSITION_UNKNOWN'
  /** No such host or sandbox at that moment, or several hosts. */
  | 'REPLAY_HOST_UNKNOWN'
  | 'REPLAY_SANDBOX_UNKNOWN'
  /** Something of it could not be built, and all of it was asked for. */
  | 'REPLAY_INCOMPLETE'
  /** The export is not what was stored, and only that was asked for. */
  | 'REPLAY_DAMAGED';

export class ReplayFault extends Error {
  override readonly name = 'ReplayFault';
  readonly code: ReplayCode;

  constructor(code: ReplayCode, message: string) {
    super(message);
    this.code = code;
  }
}

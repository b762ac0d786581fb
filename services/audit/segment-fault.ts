/** Why a segment of the log is not put away. */
export type SegmentFaultCode =
  /** There is no key to sign the next one with. */
  | 'SEGMENT_UNSIGNED'
  /** Services of ours run on the server. */
  | 'SEGMENT_IN_USE'
  /** Commands are under way, or a host has not reported on some. */
  | 'SEGMENT_BUSY'
  /** A legal hold is set. */
  | 'LEGAL_HOLD'
  /** The log, or its export, is not what was stored. */
  | 'SEGMENT_DAMAGED'
  /** There is no log, and the file is not one that somebody was stopped with. */
  | 'SEGMENT_NOTHING'
  /** The state, or the heads, do not fit what a server takes at once. */
  | 'SEGMENT_TOO_LARGE'
  /** The server did not do what was asked: the same call again goes on from where it is. */
  | 'SEGMENT_STOPPED';

export class SegmentFault extends Error {
  override readonly name = 'SegmentFault';
  readonly code: SegmentFaultCode;

  constructor(code: SegmentFaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** What an operator has to mend before the services can work, as values with stable codes. */

export type ProblemCode =
  | 'ACTORS_UNPROVEN'
  | 'SERVER_TOO_OLD'
  | 'SERVER_NOT_FOUND'
  | 'JETSTREAM_OFF'
  | 'NO_ANSWER'
  | 'NOT_PERMITTED'
  | 'PAYLOAD_TOO_SMALL'
  | 'STREAM_MISSING'
  | 'STREAM_REFUSED'
  | 'STREAM_UNSAFE'
  | 'HISTORY_LOST'
  | 'HTTP_UNUSABLE'
  | 'FOLDER_UNUSABLE'
  | 'SYNC_NOT_ALWAYS'
  | 'SYNC_UNKNOWN';

/** `text` says what is wrong and with what, `remedy` what to do; both are whole sentences for people. */
export interface Problem {
  readonly code: ProblemCode;
  readonly text: string;
  readonly remedy: string;
}

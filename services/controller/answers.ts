/** What the sender of a command is told, made from the command's record. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import type { Event } from '../../events/envelope.ts';
import type { Accepted, Outcome, Refused } from '../../events/queries.ts';
import type { Refusal } from '../../events/refusals.ts';
import type { Intake } from './intake.ts';

const head = ({ command, commandid, correlationid }: CommandRecord) => ({ command, commandid, correlationid });

const things = ({ network, endpoints, sandbox }: CommandRecord) => ({
  network,
  endpoints: endpoints.map((endpoint) => ({ ...endpoint, routes: [...endpoint.routes], ports: [...endpoint.ports] })),
  sandbox,
});

const fold = (events: readonly Event[], position: number): CommandRecord | undefined =>
  events.reduce<CommandRecord | undefined>((record, event) => foldCommand(record, event, position), undefined);

export const refusedAnswer = (
  intake: Pick<Intake, 'type' | 'id' | 'correlationid'>,
  { code, detail, culprits }: Refusal,
  position: number,
): Refused => ({
  kind: 'refused',
  command: intake.type,
  commandid: intake.id,
  correlationid: intake.correlationid,
  position,
  code,
  detail,
  culprits: [...culprits],
});

const outcomeOf = (record: CommandRecord): Outcome | null => {
  if (record.status === 'accepted' || record.status === 'refused') return null;
  const position = record.endedPosition ?? record.position;
  return { kind: 'outcome', status: record.status, ...head(record), position, ...things(record), fault: record.fault };
};

/** The answers that a record stands for: the acceptance or refusal, and the outcome once there is one. */
export const answersOf = (record: CommandRecord): readonly (Accepted | Refused | Outcome)[] => {
  const { refusal, position } = record;
  if (refusal) return [{ kind: 'refused', ...head(record), position, ...refusal, culprits: [...refusal.culprits] }];
  const accepted: Accepted = { kind: 'accepted', ...head(record), position, ...things(record) };
  const outcome = outcomeOf(record);
  return outcome ? [accepted, outcome] : [accepted];
};

/** First answers to a command that was just decided; a command that nobody has to execute has its outcome at once. */
export const decidedAnswers = (
  intake: Intake,
  refusal: Refusal | null,
  events: readonly Event[],
  position: number,
): readonly (Accepted | Refused | Outcome)[] => {
  if (refusal) return [refusedAnswer(intake, refusal, position)];
  const record = fold(events, position);
  return record ? answersOf(record) : [];
};

/** The answer when a command that was accepted has ended. */
export const endedAnswer = outcomeOf;

/**
 * Decisions on what is kept and what is shredded. A legal hold wins: what it covers is shredded only once it is lifted. What was shredded
 * before cannot be held, and nothing brings it back.
 */
import type { EventData } from '../events.ts';
import { refuse } from '../refusals.ts';
import type { SharedState } from '../state.ts';
import { accept, type Decide } from './context.ts';

type Hold = EventData<'LegalHoldSet'>;

const subjectCulprit = (id: string) => ({ kind: 'subject', id });
const holdCulprit = ({ name, reason }: Hold) => ({ kind: 'hold', id: name, detail: reason });

/** By name, since tables have no order of their own. */
const holdsOn = ({ holds }: SharedState, subject: string): readonly Hold[] =>
  [...holds.values()]
    .filter((hold) => hold.subject === null || hold.subject === subject)
    .sort((a, b) => (a.name < b.name ? -1 : 1));

const named = (holds: readonly Hold[]): string => holds.map(({ name }) => name).join(', ');

export const setLegalHold: Decide<'SetLegalHold'> = ({ shared }, { name, subject = null, reason }) => {
  const hold = shared.holds.get(name);
  if (hold) return refuse('HOLD_EXISTS', `hold ${name} is set: ${hold.reason}`, [holdCulprit(hold)]);
  if (subject !== null && shared.shredded.has(subject))
    return refuse('SUBJECT_SHREDDED', `what was sealed for ${subject} cannot be kept any more`, [
      subjectCulprit(subject),
    ]);
  return accept({ type: 'LegalHoldSet', data: { name, subject, reason } });
};

export const liftLegalHold: Decide<'LiftLegalHold'> = ({ shared }, { name, reason }) => {
  const hold = shared.holds.get(name);
  if (!hold) return refuse('HOLD_NOT_FOUND', `there is no hold ${name}`, [{ kind: 'hold', id: name }]);
  return accept({ type: 'LegalHoldLifted', data: { name, subject: hold.subject, reason } });
};

export const shredSubject: Decide<'ShredSubject'> = ({ shared }, { subject, reason }) => {
  if (shared.shredded.has(subject))
    return refuse('SUBJECT_SHREDDED', `what was sealed for ${subject} is shredded already`, [subjectCulprit(subject)]);
  const holds = holdsOn(shared, subject);
  if (holds.length > 0)
    return refuse('LEGAL_HOLD', `what is sealed for ${subject} is held: ${named(holds)}`, holds.map(holdCulprit));
  return accept({ type: 'SubjectShredded', data: { subject, reason } });
};

/** What holds of every log: sandboxes live once, intents end once. */
import assert from 'node:assert/strict';
import { cutsShort } from '../../events/cut-short.ts';
import { type Event, needsExecution } from '../../events/envelope.ts';
import { isFailure, isTerminal } from '../../events/events.ts';

/** A sandbox is said to be made at most once, and to be removed at most once, in this order. */
export const assertLivedOnce = (events: readonly Event[]): void => {
  const lives = new Map<string, string>();
  for (const event of events) {
    if (event.type !== 'SandboxCreated' && event.type !== 'SandboxRemoved') continue;
    const { id, incarnation } = event.data.sandbox;
    lives.set(`${id} ${incarnation}`, `${lives.get(`${id} ${incarnation}`) ?? ''} ${event.type}`.trim());
  }
  for (const [sandbox, life] of lives)
    assert.match(life, /^(SandboxCreated)? ?(SandboxRemoved)?$/, `sandbox ${sandbox}`);
};

/** Every intent has one outcome, but for those of a host that is lost. One that came after its deadline is taken back: it has a failure behind its success. */
export const assertEndedOnce = (events: readonly Event[]): void => {
  const outcomes = new Map<string, Event[]>();
  for (const event of events) {
    // What was under way there nobody reports.
    if (event.type === 'HostLost') for (const [id, found] of outcomes) if (found.length === 0) outcomes.delete(id);
    if (needsExecution(event)) outcomes.set(event.meta.id, []);
    else if (isTerminal(event.type)) {
      const known = outcomes.get(event.meta.causationid);
      assert.ok(known, `${event.type} reports on an intent`);
      known.push(event);
    }
  }
  const late = new Set(events.flatMap((event) => (cutsShort(event) ? event.data.intents : [])));
  for (const [id, found] of outcomes) {
    const types = found.map(({ type }) => type);
    const failures = found.filter(({ type }) => isFailure(type)).length;
    const isTakenBack = late.has(id) && types.length === 2 && failures === 1 && isFailure(types[1] ?? 'HostFacts');
    assert.ok(types.length === 1 || isTakenBack, `intent ${id} ended with ${types.join(', ') || 'nothing'}`);
  }
};

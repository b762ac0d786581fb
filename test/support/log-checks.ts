/** What must hold of a whole log, whoever wrote it: the chain of each subject, and the generated schemas of its commits. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonSchema } from '../../docs/generate/json-schema.ts';
import { commitHeaders } from '../../events/envelope.ts';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { problemsOf } from './json-schema.ts';

/** All messages of a stream, in order. */
export const readWhole = async (stream: Stream): Promise<readonly Message[]> => {
  const messages: Message[] = [];
  const reader = stream.read({ from: 1 }, (message) => messages.push(message));
  await reader.caughtUp;
  await reader.stop();
  return messages;
};

/** Positions whose commit does not carry the hash of the one before on its subject. */
export const brokenChain = (log: readonly Message[]): readonly number[] => {
  const heads = new Map<string, Message>();
  const broken: number[] = [];
  for (const message of log) {
    const before = heads.get(message.subject);
    if (message.header(commitHeaders.prevHash) !== (before ? chainHash(before) : '')) broken.push(message.position);
    heads.set(message.subject, message);
  }
  return broken;
};

/** What does not fit the generated schemas. */
export const misfits = (log: readonly Message[]): readonly string[] => {
  const file = join(import.meta.dirname, '../../docs/generated/schemas.json');
  const schemas = JSON.parse(readFileSync(file, 'utf8')) as JsonSchema;
  return log.flatMap(({ subject, position, body }) => {
    const $ref = `#/definitions/${subject.startsWith('cnm.event.') ? 'DecisionCommit' : 'OutcomeCommit'}`;
    const commit = JSON.parse(new TextDecoder().decode(body));
    return problemsOf({ $ref }, commit, schemas).map((problem) => `${position} ${subject}: ${problem}`);
  });
};

/** The names of the model as schemas, and how a name becomes a NATS subject token. */
import { z } from 'zod';

const name = (max: number) =>
  z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'letters, digits, "_", "." and "-", starting with a letter or digit')
    .max(max);

/** A network's name: unique on its host, compared without case. */
export const NetworkName = name(63);
/** What a legal hold is called, compared with case. */
export const HoldName = name(63);
/** Whom sealed values are about: a pseudonym, since it stands in the log for good. */
export const DataSubject = name(63);
/** An endpoint's name: unique in its network, compared without case. A container id fits, since attach names endpoints after sandboxes. */
export const EndpointName = name(128);
/** The caller's name of a container: a container id fits. */
export const SandboxId = name(128);
export const HostName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9.-]*$/, 'letters, digits, "." and "-"')
  .max(63);
export const RealmName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and "-"')
  .max(32);
/** Who sends commands: the token that NATS permissions are granted on. `worker:` and a host's name fits. */
export const Actor = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.@:-]*$/)
  .max(70);
/** As whom the worker of a host sends commands. */
export const workerActor = (host: string): string => `worker:${host}`;
/** Id of an incarnation (network, endpoint, sandbox, join), minted by the controller. */
export const Id = z.string().regex(/^[0-9a-z]{12,13}$/);
/** A network as a caller names it: its name, HOST/NAME, or its id. */
export const NetworkRef = z
  .string()
  .regex(/^([A-Za-z0-9][A-Za-z0-9.-]*\/)?[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'NAME, HOST/NAME or an id')
  .max(127);
/** An endpoint as a caller names it inside a network: its name or its id. */
export const EndpointRef = EndpointName;

/**
 * A command's id: the time it was minted (milliseconds since 1970, base 36, 8 or 9 digits), a dash, and what makes it
 * unique for its actor. The same id always gets the same answer, and the time says when it is too old to be remembered.
 */
export const CommandId = z
  .string()
  .regex(/^[0-9a-z]{8,9}-[\x21-\x7e]{1,150}$/, 'MINTED-UNIQUE with the time in base 36, such as mhx3k2p1-4f9a');

export const commandId = (mintedMs: number, unique: string): string => `${mintedMs.toString(36)}-${unique}`;

/** How long command ids are valid, and remembered: at most, and where nothing else is said. Design value, 30 days. */
export const memoryMsMost = 30 * 86_400_000;

/** When a command id was minted, milliseconds since 1970. */
export const mintedMs = (id: string): number => Number.parseInt(id.slice(0, id.indexOf('-')), 36);

/** Most names stand for themselves. */
const isPlain = (text: string): boolean => /^[A-Za-z0-9-][A-Za-z0-9_-]*$/.test(text);

/**
 * A name as one subject token (NATS ADR-6): letters, digits, "-" and "_" stay, every other byte of its UTF-8 form becomes
 * `=XX`. A name that is just "_" is encoded too, since `_` stands for "no host named".
 */
export const encodeToken = (text: string): string => {
  if (isPlain(text)) return text;
  let token = '';
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte);
    token += /[A-Za-z0-9_-]/.test(char) && text !== '_' ? char : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return token;
};

/** The name that a token stands for, or null when it is no token that `encodeToken` makes. */
export const decodeToken = (token: string): string | null => {
  if (isPlain(token)) return token;
  if (!/^([A-Za-z0-9_-]|=[0-9A-F]{2})+$/.test(token)) return null;
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    if (token[i] === '=') {
      bytes.push(Number.parseInt(token.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(token.charCodeAt(i));
  }
  const text = new TextDecoder().decode(Uint8Array.from(bytes));
  return encodeToken(text) === token ? text : null;
};

/** Stands in a command's subject where no host is named. */
export const anyHost = '_';

/** Subjects of the wire contract (docs/protocol.md). */
export const subjects = {
  command: (actor: string, host: string | null): string =>
    `cnm.command.${encodeToken(actor)}.${host === null ? anyHost : encodeToken(host)}`,
  reply: (actor: string, id: string): string => `cnm.reply.${encodeToken(actor)}.${encodeToken(id)}`,
  /** Decisions of a host's boundary. */
  host: (host: string): string => `cnm.event.host.${encodeToken(host)}`,
  /** Decisions that belong to no host: the opening of the log, realm networks' creation, and refusals of commands that reach no host. */
  realm: 'cnm.event.realm._',
  /** One message of the state that a segment of the log begins with. */
  segment: (chunk: number): string => `cnm.event.segment.${chunk}`,
  /** Decisions of a realm network's boundary. */
  network: (id: string): string => `cnm.event.realm.${id}`,
  /** Reports of a host's worker. */
  outcome: (host: string): string => `cnm.outcome.${encodeToken(host)}`,
  /** The key of what is sealed for a data subject. */
  sealKey: (subject: string): string => `cnm.key.${encodeToken(subject)}`,
  query: (view: string): string => `cnm.query.${view}`,
  /** What became of an actor's own commands: whoever may ask nothing else may ask that. */
  own: (actor: string): string => `cnm.own.${encodeToken(actor)}`,
  /** Asks one projector, by its id as a service, to rebuild its views. */
  rebuild: (projector: string): string => `cnm.rebuild.${projector}`,
} as const;

/** Whether a message holds no events, but a part of the state that a segment begins with. */
export const isChunk = (subject: string): boolean => subject.startsWith('cnm.event.segment.');

/** Actor and host of a command's subject; null when the subject is none. */
export const parseCommandSubject = (
  subject: string,
): { readonly actor: string; readonly host: string | null } | null => {
  const [cnm, command, actorToken = '', hostToken = '', ...rest] = subject.split('.');
  const actor = Actor.safeParse(decodeToken(actorToken));
  if (cnm !== 'cnm' || command !== 'command' || rest.length > 0 || !actor.success) return null;
  if (hostToken === anyHost) return { actor: actor.data, host: null };
  const host = HostName.safeParse(decodeToken(hostToken));
  return host.success ? { actor: actor.data, host: host.data } : null;
};

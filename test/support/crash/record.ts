/** What the log says of the commands that were sent, read by an eye of its own: who has ended, how often, and what has become of it all. */
import assert from 'node:assert/strict';
import type { NatsConnection } from '@nats-io/transport-node';
import { type CommandRecord, foldCommand } from '../../../events/command-record.ts';
import type { CommandInput, CommandType } from '../../../events/commands.ts';
import { cutsShort } from '../../../events/cut-short.ts';
import type { Event } from '../../../events/envelope.ts';
import { commandId, subjects } from '../../../events/names.ts';
import type { BoundaryState } from '../../../events/state.ts';
import { systemClock } from '../../../services/lib/clock.ts';
import { boundaryOf, type FollowedRealm, followRealm } from '../../../services/lib/realm.ts';
import type { Stream } from '../../../services/lib/stream.ts';
import { jetStream } from '../../../services/nats/jetstream.ts';
import { assertEndedOnce } from '../ended-once.ts';
import { waitFor } from '../nats.ts';

export const actor = 'sweeper';
/** Starts take their time on a machine that does much else: what is accepted is to succeed whatever that takes. */
const DEADLINE_MS = 300_000;
const RETRY_MS = 50;

export interface Ending {
  readonly status: CommandRecord['status'];
  readonly text: string;
}

export class LogRecord {
  readonly #actor: string;
  readonly #commands: Stream;
  readonly #followed: FollowedRealm;
  readonly #events: Event[] = [];
  readonly #records = new Map<string, CommandRecord>();
  readonly #endings = new Map<string, Ending[]>();
  /** Where the server said that it has put each command. */
  readonly #stored = new Map<string, number>();
  #serial = 0;
  #taken = 0;

  /** @param name whose commands are sent and recorded */
  constructor(connection: NatsConnection, name = actor) {
    this.#actor = name;
    this.#commands = jetStream(connection, 'CNM_COMMANDS');
    const fresh: Event[] = [];
    this.#followed = followRealm(jetStream(connection, 'CNM_LOG'), {
      listener: {
        before: (_boundary, event) => fresh.push(event),
        folded: (_boundary, position) => {
          for (const event of fresh.splice(0)) this.#take(event, position);
        },
      },
    });
    this.#followed.reader.closed.catch((error: unknown) => {
      throw error;
    });
  }

  #take(event: Event, position: number): void {
    this.#events.push(event);
    if (event.meta.actor === this.#actor || cutsShort(event)) this.#fold(event, position);
  }

  /** A command has ended each time that its record begins to say so. */
  #fold(event: Event, position: number): void {
    const cut = cutsShort(event) ? event.data : null;
    if (cut && cut.actor !== this.#actor) return;
    const id = cut ? cut.commandId : event.meta.commandid;
    const before = this.#records.get(id);
    const after = foldCommand(before, event, position);
    this.#records.set(id, after);
    if (after.status === 'accepted' || after.status === before?.status) return;
    const { status, refusal, fault } = after;
    this.#endings.set(id, [...(this.#endings.get(id) ?? []), { status, text: JSON.stringify(refusal ?? fault) }]);
  }

  get state(): BoundaryState {
    return this.on('h1');
  }

  /** Of any host. */
  on(host: string): BoundaryState {
    return boundaryOf(this.#followed.realm, host).state;
  }

  /** Of the log. */
  get position(): number {
    return this.#followed.realm.position;
  }

  /** Publishes a command until it is acknowledged; answers its id. */
  async send<T extends CommandType>(type: T, data: CommandInput<T>, host = 'h1'): Promise<string> {
    const id = commandId(systemClock.nowMs(), `s${this.#serial++}`);
    const body = JSON.stringify({ id, type, data, deadlineMs: DEADLINE_MS });
    const message = { subject: subjects.command(this.#actor, host), body, id: `${this.#actor} ${id}` };
    for (;;) {
      const sent = await this.#commands.append(message);
      if (sent.kind === 'appended') {
        this.#stored.set(id, sent.position);
        return id;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** What the log says of a command by now. */
  recordOf(id: string): CommandRecord | undefined {
    return this.#records.get(id);
  }

  /** That every command is where the server said that it has put it. Each is looked up once. */
  async assertStored(): Promise<void> {
    const stored = [...this.#stored];
    this.#stored.clear();
    const lost = await Promise.all(
      stored.map(async ([id, position]) => {
        const message = await this.#commands.get(position);
        const found = message && (JSON.parse(new TextDecoder().decode(message.body)) as { readonly id: string }).id;
        return found === id ? [] : [`${id} at ${position}: ${found}`];
      }),
    );
    assert.deepEqual(lost.flat(), [], 'commands that were acknowledged');
  }

  /** Events of a type, of all boundaries. */
  count(type: Event['type']): number {
    return this.#events.filter((event) => event.type === type).length;
  }

  /** How all commands have ended that ended since this was last asked, by id. */
  takeEndings(): ReadonlyMap<string, Ending['status']> {
    const fresh = [...this.#endings].slice(this.#taken);
    this.#taken = this.#endings.size;
    return new Map(fresh.map(([id, [ending]]) => [id, ending?.status ?? 'accepted']));
  }

  endingOf(id: string): Ending | undefined {
    return this.#endings.get(id)?.[0];
  }

  /** Waits until each of the commands has ended. */
  async ended(ids: readonly string[], timeoutMs: number): Promise<void> {
    const open = () => ids.filter((id) => !this.#endings.has(id));
    try {
      await waitFor(() => open().length === 0, { what: 'every command to end', timeoutMs });
    } catch {
      assert.fail(`not ended within ${timeoutMs} ms: ${open().join(', ')}`);
    }
  }

  /** That nothing is open, and everything has ended exactly once. */
  async assertQuiet(timeoutMs: number): Promise<void> {
    const { state } = this;
    await waitFor(() => state.intents.size === 0 && state.progress.size === 0, { what: 'no open intents', timeoutMs });
    const twice = [...this.#endings].filter(([, endings]) => endings.length > 1);
    assert.deepEqual(twice, [], 'commands that ended more than once');
    assertEndedOnce(this.#events);
  }

  async close(): Promise<void> {
    await this.#followed.reader.stop();
  }
}

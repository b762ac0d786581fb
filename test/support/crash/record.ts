/** What the log says of the commands that were sent, read by an eye of its own: who has ended, how often, and what has become of it all. */
import assert from 'node:assert/strict';
import type { NatsConnection } from '@nats-io/transport-node';
import { type CommandRecord, foldCommand } from '../../../events/command-record.ts';
import type { CommandInput, CommandType } from '../../../events/commands.ts';
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
  readonly #commands: Stream;
  readonly #followed: FollowedRealm;
  readonly #events: Event[] = [];
  readonly #records = new Map<string, CommandRecord>();
  readonly #endings = new Map<string, Ending[]>();
  #serial = 0;
  #taken = 0;

  constructor(connection: NatsConnection) {
    this.#commands = jetStream(connection, 'CNM_COMMANDS');
    this.#followed = followRealm(jetStream(connection, 'CNM_LOG'), {
      listener: {
        before: (_boundary, event) => {
          this.#events.push(event);
          if (event.meta.actor === actor || event.type === 'CommandTimedOut') this.#fold(event);
        },
      },
    });
    this.#followed.reader.closed.catch((error: unknown) => {
      throw error;
    });
  }

  /** A command has ended each time that its record begins to say so. */
  #fold(event: Event): void {
    const isTimeOut = event.type === 'CommandTimedOut';
    if (isTimeOut && event.data.actor !== actor) return;
    const id = isTimeOut ? event.data.commandId : event.meta.commandid;
    const before = this.#records.get(id);
    const after = foldCommand(before, event, 0);
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
    for (;;) {
      const sent = await this.#commands.append({ subject: subjects.command(actor, host), body, id: `${actor} ${id}` });
      if (sent.kind === 'appended') return id;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
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

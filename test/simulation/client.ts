/** Who sends commands: several actors, each behind a network of its own. It sends again what nobody acknowledged, as clients do. */
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { Answer } from '../../events/queries.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { Life, type Place } from './life.ts';
import type { Stage } from './stage.ts';
import { wired } from './wire.ts';

export interface Sent {
  readonly actor: string;
  readonly id: string;
  readonly type: CommandType;
  /** What the sender was told first: accepted or refused. */
  first: Answer | null;
  outcome: Answer | null;
  acknowledged: boolean;
}

export interface Wish<T extends CommandType = CommandType> {
  readonly type: T;
  readonly data: CommandInput<T>;
  /** Named in the subject; null: wherever it belongs. */
  readonly host: string | null;
  readonly deadlineMs?: number;
  /** Not to be begun after that long. */
  readonly startWithinMs?: number;
}

const triesMax = 6;

export class Client {
  readonly actor: string;
  readonly life: Life;
  readonly sent = new Map<string, Sent>();
  readonly #commands: Stream;
  #serial = 0;

  constructor(actor: string, stage: Stage, place: Place) {
    this.actor = actor;
    this.life = new Life(actor, place, stage.scheduler, stage.dice.fork(actor));
    this.#commands = wired(stage.wire, stage.commands, this.life);
  }

  send({ type, data, host, deadlineMs, startWithinMs }: Wish): Sent {
    const nowMs = this.life.clock.nowMs();
    const id = commandId(nowMs, `${this.actor}${++this.#serial}`);
    const startBy = startWithinMs === undefined ? {} : { startBy: new Date(nowMs + startWithinMs).toISOString() };
    const asked = type === 'CancelCommand' ? { ...data, commandId: this.#recent(id) } : data;
    const body = JSON.stringify({
      id,
      type,
      data: asked,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...startBy,
    });
    const sent: Sent = { actor: this.actor, id, type, first: null, outcome: null, acknowledged: false };
    this.sent.set(id, sent);
    void this.#publish(sent, body, host);
    return sent;
  }

  /** One that was sent a moment ago; else the id of this one, which is not there to be cancelled. */
  #recent(id: string): string {
    const recent = [...this.sent.keys()].slice(-6);
    return recent.length === 0 ? id : this.life.dice.pick(recent);
  }

  async #publish(sent: Sent, body: string, host: string | null): Promise<void> {
    const subject = subjects.command(this.actor, host);
    for (let tries = 0; tries < triesMax && !sent.acknowledged; tries++) {
      const appended = await this.#commands.append({ subject, body, id: `${this.actor}/${sent.id}` });
      sent.acknowledged = appended.kind === 'appended';
    }
  }
}

/**
 * A witness: actors who send commands and write down what they are answered, and nothing else. What they know of the past is held against
 * what the projector says of it. It knows subjects and command ids of the code, and no event, no fold, no view.
 */
import { commandId, subjects } from '../../events/names.ts';

/** As answers stand on the wire (docs/protocol.md). */
interface Answer {
  readonly kind: 'accepted' | 'refused' | 'outcome';
  readonly command: string;
  readonly commandid: string;
  readonly position: number;
  readonly status?: 'succeeded' | 'failed' | 'timed-out';
  readonly code?: string;
  readonly endpoints?: readonly {
    readonly id: string;
    readonly name: string;
    readonly networkId: string;
    readonly ipv4: string | null;
    readonly mac: string | null;
  }[];
}

/** What became of a command, as its sender was told. */
export interface Told {
  readonly actor: string;
  readonly id: string;
  readonly command: string;
  readonly first: Answer;
  readonly end: Answer | null;
}

/** An endpoint in a sandbox: asked for by one command, taken away by another. Positions of answers. */
export interface Stay {
  readonly actor: string;
  readonly attach: string;
  readonly sandbox: string;
  readonly network: string;
  readonly networkId: string;
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly mac: string;
  readonly hostPort: number;
  readonly accepted: number;
  /** When it was told that it is there; null: it never was. */
  readonly joined: number | null;
  detach: string | null;
  /** When it was accepted that it leaves, and when it was told that it is gone. */
  leaving: number | null;
  gone: number | null;
}

export interface Book {
  readonly commands: readonly Told[];
  readonly stays: readonly Stay[];
}

export interface WitnessOptions {
  readonly actors: number;
  readonly commands: number;
  readonly networks: readonly string[];
  readonly random: () => number;
  readonly send: (subject: string, body: string, id: string) => void;
}

interface Waiting {
  readonly first: PromiseWithResolvers<Answer>;
  readonly end: PromiseWithResolvers<Answer>;
}

const FIRST_PORT = 20_000;

export class Witness {
  readonly book: Book;
  readonly #commands: Told[] = [];
  readonly #stays: Stay[] = [];
  readonly #options: WitnessOptions;
  readonly #waiting = new Map<string, Waiting>();
  #sent = 0;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.book = { commands: this.#commands, stays: this.#stays };
  }

  /** An answer, as it is published. */
  readonly take = (_subject: string, body: string): void => {
    const answer = JSON.parse(body) as Answer;
    const waiting = this.#waiting.get(answer.commandid);
    if (answer.kind === 'outcome') waiting?.end.resolve(answer);
    else waiting?.first.resolve(answer);
  };

  /** Makes the networks, then lets all actors work side by side until enough commands were sent. */
  async work(): Promise<Book> {
    for (const network of this.#options.networks) await this.#do('actor0', 'CreateNetwork', { name: network });
    const actors = Array.from({ length: this.#options.actors }, (_, n) => this.#act(`actor${n}`, n));
    await Promise.all(actors);
    return this.book;
  }

  async #act(actor: string, number: number): Promise<void> {
    const { random, networks, commands } = this.#options;
    for (let turn = 0; this.#sent < commands; turn++) {
      const network = networks[Math.floor(random() * networks.length)] ?? '';
      const sandbox = `s${number}-${turn % 7}`;
      if (random() < 0.05) await this.#do(actor, 'DeleteNetwork', { network: `no-${network}` });
      const isIn = await this.#attach(actor, sandbox, network, FIRST_PORT + ((number * 97 + turn) % 10_000));
      if (!isIn || random() < 0.02) continue;
      if (random() < 0.1) await this.#do(actor, 'DeleteNetwork', { network });
      await this.#detach(actor, sandbox);
    }
  }

  async #attach(actor: string, sandbox: string, network: string, hostPort: number): Promise<boolean> {
    const ports = [{ port: 80, hostPort }];
    const told = await this.#do(actor, 'AttachSandbox', { sandbox, networks: [{ network, ports }] });
    const [endpoint] = told.first.endpoints ?? [];
    if (!endpoint) return false;
    const stay: Stay = {
      ...{
        actor,
        attach: told.id,
        sandbox,
        network,
        networkId: endpoint.networkId,
        id: endpoint.id,
        name: endpoint.name,
      },
      ...{ address: (endpoint.ipv4 ?? '').replace(/\/.*/, ''), mac: endpoint.mac ?? '', hostPort },
      accepted: told.first.position,
      joined: told.end?.status === 'succeeded' ? told.end.position : null,
      ...{ detach: null, leaving: null, gone: null },
    };
    // Of one that failed it knows until when it was there for sure, and that it is gone some time later.
    if (stay.joined === null) stay.leaving = told.end?.position ?? null;
    this.#stays.push(stay);
    return stay.joined !== null;
  }

  /** Takes the sandbox out of every network that it is in. */
  async #detach(actor: string, sandbox: string): Promise<void> {
    const there = this.#stays.filter((stay) => stay.sandbox === sandbox && stay.leaving === null);
    const told = await this.#do(actor, 'DetachSandbox', { sandbox });
    for (const stay of there) {
      stay.detach = told.id;
      if (told.first.kind === 'accepted') stay.leaving = told.first.position;
      if (told.end?.status === 'succeeded') stay.gone = told.end.position;
    }
  }

  async #do(actor: string, command: string, data: object): Promise<Told> {
    const id = commandId(Date.now(), `w${this.#sent++}`);
    const waiting = { first: Promise.withResolvers<Answer>(), end: Promise.withResolvers<Answer>() };
    this.#waiting.set(id, waiting);
    this.#options.send(subjects.command(actor, null), JSON.stringify({ id, type: command, data }), id);
    const first = await waiting.first.promise;
    const end = first.kind === 'accepted' ? await waiting.end.promise : null;
    this.#waiting.delete(id);
    const told = { actor, id, command, first, end };
    this.#commands.push(told);
    return told;
  }
}

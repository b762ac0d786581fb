/** Where a plugin is now, and the transport that leads there. */
import { type Directories, findPlugin } from './discovery.ts';
import { openTransport, type Transport } from './transport.ts';

export class Connection {
  readonly #name: string;
  readonly #directories: Directories;
  #open: { readonly version: string; readonly transport: Transport } | null = null;
  /** Version of the file that was last acted upon. */
  #seen: string | null = null;

  constructor(name: string, directories: Directories) {
    this.#name = name;
    this.#directories = directories;
  }

  /** Whether its file has changed since this was last asked, or it was opened. */
  isOutdated(): boolean {
    const found = findPlugin(this.#directories, this.#name);
    if (found === null || found.version === this.#seen) return false;
    this.#seen = found.version;
    return true;
  }

  /** Makes the transport lead where the plugin is now. The answer says why it does not; null: it does. */
  open(): string | null {
    const found = findPlugin(this.#directories, this.#name);
    if (found === null) {
      const { sockets, specs } = this.#directories;
      return `no plugin ${this.#name} in ${[...sockets, ...specs].join(', ')}`;
    }
    this.#seen = found.version;
    if (!found.read.ok) return `${found.file}: ${found.read.problem}`;
    if (found.version === this.#open?.version) return null;
    try {
      const transport = openTransport(found.read.address);
      this.#open?.transport.close();
      this.#open = { version: found.version, transport };
      return null;
    } catch (error) {
      return `${found.file}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  get transport(): Transport {
    if (this.#open === null) throw new Error(`plugin ${this.#name} is called before it was found`);
    return this.#open.transport;
  }

  close(): void {
    this.#open?.transport.close();
  }
}

/** Services on a real nats-server, in this process, as `cnm serve` starts them, with the command line pointed at them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../services/lib/clock.ts';
import { readConfig } from '../../services/lib/config.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { provision } from '../../services/nats/streams.ts';
import type { Part } from '../../services/up/part.ts';
import type { ServiceName } from '../../services/up/service-names.ts';
import { type ServiceDeps, startService } from '../../services/up/services.ts';
import { startNats, type TestNats } from './nats.ts';

export class Served {
  readonly nats: TestNats;
  readonly folder: string;
  readonly #deps: ServiceDeps;
  readonly #parts = new Map<ServiceName, Part>();

  private constructor(nats: TestNats, folder: string, deps: ServiceDeps) {
    this.nats = nats;
    this.folder = folder;
    this.#deps = deps;
  }

  /**
   * From here on calls of the command line within this process go to it.
   * @param config more lines of the server's configuration
   */
  static async start(names: readonly ServiceName[], config = ''): Promise<Served> {
    const nats = await startNats({ config });
    const folder = mkdtempSync(join(tmpdir(), 'cnm-served-'));
    Object.assign(process.env, { CNM_NATS_URL: nats.url, CNM_REALM: 'test', CNM_DATA_DIR: folder, CNM_ACTOR: 'alice' });
    const read = readConfig();
    if (!read.ok) throw new Error(read.problems.join('\n'));
    const made = await provision(await nats.connect(), { sync: { kind: 'embedded' } as never });
    if (!made.ok) throw new Error(JSON.stringify(made.problems));
    const deps = { config: read.config, url: nats.url, logger: silentLogger(), clock: systemClock };
    const served = new Served(nats, folder, deps);
    for (const name of names) await served.startService(name);
    return served;
  }

  async startService(name: ServiceName): Promise<void> {
    this.#parts.set(name, await startService(name, this.#deps));
  }

  async stopService(name: ServiceName): Promise<void> {
    await this.#parts.get(name)?.stop();
    this.#parts.delete(name);
  }

  async stop(): Promise<void> {
    for (const name of [...this.#parts.keys()]) await this.stopService(name);
    await this.nats.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The program `cnm`. */
import { enableCompileCache } from 'node:module';

// before anything else is loaded: compiled code is kept for the next call, which saves a good part of its start
enableCompileCache();
const { processOutput, runCli } = await import('./run.ts');
// output is written at once on Linux, and nothing that is still open is worth waiting for
process.exit(await runCli(processOutput(), process.argv.slice(2)));

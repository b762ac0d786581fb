/**
 * `npm run soak namespaces [CYCLES] [AT_ONCE] [SECONDS]`: the long form of test/e2e/namespaces.test.ts, in namespaces of its own: namespaces are held
 * for up to so many seconds. Takes root.
 */
import { makePlace } from '../e2e/cli-harness.ts';
import { cycleNamespaces } from '../support/namespace-cycles.ts';

/** After the last holder. */
const SETTLED_MS_MAX = 10_000;

export const soak = async ([cycles = '5000', atOnce = '200', seconds = '30']: readonly string[]): Promise<boolean> => {
  const place = makePlace();
  const tell = (line: string): void => console.log(line);
  try {
    const given = { cycles: Number(cycles), atOnce: Number(atOnce), holdSecondsMax: Number(seconds) };
    const report = await cycleNamespaces({ ...given, place, tell });
    console.log(JSON.stringify(report, null, 2));
    return report.left.length + report.wrong.length === 0 && report.settledMs <= SETTLED_MS_MAX;
  } finally {
    place.remove();
  }
};

/** `npm run soak restart [SANDBOXES] [ROUNDS]`: the long form of test/e2e/restart.test.ts, in namespaces of its own. Takes root. */
import { makePlace } from '../e2e/cli-harness.ts';
import { restartUnderTraffic } from '../support/restarts.ts';

const PER_NETWORK = 50;

export const soak = async ([sandboxes = '500', rounds = '20']: readonly string[]): Promise<boolean> => {
  const place = makePlace();
  const tell = (line: string): void => console.log(line);
  try {
    const report = await restartUnderTraffic({
      sandboxes: Number(sandboxes),
      networks: Math.ceil(Number(sandboxes) / PER_NETWORK),
      rounds: Number(rounds),
      ups: Number(rounds),
      env: place.env,
      tell,
    });
    console.log(JSON.stringify({ ...report, deletes: report.deletes.slice(0, 20) }, null, 2));
    const { dropped, unanswered, lost, deletes, lostNotices } = report;
    return dropped.length + unanswered.length + lost.length + deletes.length + lostNotices === 0;
  } finally {
    place.remove();
  }
};

// One stretch of a sweep, in namespaces of its own: `segment.ts LAYOUT PATTERN TIMES SKIP`. Prints a line of JSON for what it has learnt, each
// point, and the end. It stops at the first point after which something is wrong; whoever started it starts another one behind that.

import { type Layout, pointText } from '../support/crash/place.ts';
import { pointsOf } from '../support/crash/points.ts';
import { Sweep } from '../support/crash/sweep.ts';

const [layout = 'up', pattern = '', times = '1', skip = '0'] = process.argv.slice(2);
const tell = (said: object): void => console.log(JSON.stringify(said));

// what is waited for are processes that do not keep this one alive
setInterval(() => undefined, 1_000);
const sweep = await Sweep.open({ layout: layout as Layout, timeoutMs: 120_000 });
let exit = 0;
try {
  const wanted = new RegExp(pattern);
  const points = pointsOf(await sweep.learn(), Number(times)).filter(({ name }) => wanted.test(name));
  tell({ points: points.length });
  for (const [index, point] of points.entries()) {
    if (index < Number(skip)) continue;
    try {
      tell({ index, point: pointText(point), died: await sweep.at(point, points[index + 1] ?? null) });
    } catch (error) {
      const died = sweep.died.slice(-3).map(pointText);
      tell({ index, point: pointText(point), wrong: String(error), died, said: sweep.said });
      exit = 1;
      break;
    }
  }
  tell({ slowestMs: Math.round(sweep.slowestMs) });
} catch (error) {
  tell({ wrong: String(error), said: sweep.said });
  exit = 2;
}
await sweep.close();
process.exit(exit);

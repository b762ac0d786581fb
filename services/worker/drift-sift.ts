/** A repair of everything, looked through for what others have done: that is told of, and left where a network says so. */
import { objectKey } from '../../drivers/objects.ts';
import type { Census, Operation, Plan, PlanResult } from '../../drivers/port.ts';
import { findingsOf, standing } from './drift-finding.ts';
import { isNews } from './drift-judgement.ts';
import type { DriftReports, FoundBy } from './drift-reports.ts';
import { thingOf } from './drift-scope.ts';
import type { Scene } from './inmates.ts';
import type { Present } from './present.ts';

export interface Sifted {
  /** What is to be repaired. */
  readonly operations: readonly Operation[];
  readonly done: (plans: readonly Plan[], results: readonly PlanResult[]) => void;
}

export interface DriftSift {
  sift(operations: readonly Operation[], census: Census, believed: Pick<Present, 'get'>): Sifted;
  /** Work that no look may come between. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

export interface Sifting {
  readonly scene: Scene;
  readonly reports: DriftReports;
  readonly operations: readonly Operation[];
  readonly census: Census;
  /** What was there as far as we knew; null when a worker starts, which knows nothing: then everything that differs is news. */
  readonly believed: Pick<Present, 'get'> | null;
  /** False: what is missing went with the last boot, which is nobody's doing. */
  readonly isSameBoot: boolean;
  readonly by: FoundBy;
}

/** What is too many is a removal that failed, for the most part, and is finished; what is not as it was settled has drifted. */
export const sift = ({ scene, reports, operations, census, believed, isSameBoot, by }: Sifting): Sifted => {
  const isChange = ({ op, object }: Operation): boolean => op !== 'delete' && thingOf(scene.state, object.tag) !== null;
  const found = findingsOf(scene.state, operations.filter(isChange), census).filter(
    (finding) =>
      reports.isOpen(finding.key) ||
      (isSameBoot && (believed === null || finding.operations.some((each) => isNews(each, believed, census)))),
  );
  const left = isSameBoot ? found.filter(({ policy }) => policy === 'report') : [];
  const repaired = found.filter((finding) => !left.includes(finding));
  for (const finding of left) reports.left(finding, by);
  const leftOperations = left.flatMap((finding) => finding.operations);
  const isLeft = new Set(leftOperations.map(({ object }) => objectKey(object)));
  for (const finding of repaired) if (isSameBoot) reports.detected(finding, by);
  return {
    operations: standing(
      operations.filter((operation) => !isChange(operation) || !isLeft.has(objectKey(operation.object))),
      leftOperations,
    ),
    done: (plans, results) => {
      for (const finding of repaired) reports.repaired(finding, plans, results);
    },
  };
};

/** What a kernel in memory tells of changes by others, and which of its objects a look at a part shows. */
import type { KernelObject } from '../../drivers/objects.ts';
import type { Census, Extent, Notice } from '../../drivers/port.ts';

export class MemoryNotices {
  #told: (notices: readonly Notice[]) => void = () => undefined;
  /** What of the host matters to all of its objects. */
  settings: Readonly<Record<string, string>> = {};

  listen(tell: (notices: readonly Notice[]) => void): void {
    this.#told = tell;
  }

  /** As a kernel tells of it. */
  tell(...notices: readonly Notice[]): void {
    this.#told(notices);
  }
}

/** Whether an object is in a part. */
const within =
  (extent: Extent) =>
  (object: KernelObject): boolean => {
    if (object.kind === 'element') return extent.elements;
    if (object.kind === 'file') return extent.files.includes(object.path);
    if (object.kind === 'netns') return extent.namespaces.includes(object.path);
    if ('netns' in object) return extent.namespaces.includes(object.netns);
    return extent.links.includes(object.name);
  };

/** A census as it is of a part; all of it where none is named. */
export const partOf = (census: Census, { settings }: MemoryNotices, extent: Extent | undefined): Census =>
  extent ? { ...census, objects: census.objects.filter(within(extent)), settings } : census;

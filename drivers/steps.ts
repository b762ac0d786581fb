/** What a fault calls the step at which a plan has failed. Pure. */
import type { KernelObject } from './objects.ts';
import type { Operation } from './port.ts';

/** `create veth cvabc` */
export const stepOf = (op: Operation['op'], object: KernelObject): string => {
  switch (object.kind) {
    case 'netns':
      return `${op} netns ${object.path}`;
    case 'bridge':
    case 'vxlan':
    case 'vlan':
    case 'stub':
    case 'veth':
      return `${op} ${object.kind} ${object.name}`;
    case 'device':
      return `${op} device ${object.name} in ${object.netns}`;
    case 'route':
      return `${op} route ${object.destination} in ${object.netns}`;
    case 'file':
      return `${op} file ${object.path}`;
    case 'resolver':
      return `${op} resolver in ${object.netns}`;
    case 'element':
      return `${op} element ${object.set} ${object.key.join(' . ')}`;
    default:
      return object satisfies never;
  }
};

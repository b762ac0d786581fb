/**
 * Address management comes in two halves. Choosing (`choose…`, `check…`, `layOut…`) reads the state and answers with a value or a
 * refusal; the decider writes the answer into an event. Folding (`hold…`, `release…`, `set…`) takes such facts into the state: it
 * never chooses and never throws, and answers whether the fact changed anything, which property tests watch.
 *
 * This file is the door: what the rest of events/ may use.
 */
export {
  type AddressPool,
  addressPool,
  type ChosenAddress,
  checkAddress,
  chooseAddress,
  holdAddress,
  holderOf,
  releaseAddress,
  withPrefix,
} from './ipam-addresses.ts';
export { type Choice, type Holder, ipamCodes, type Quarantine } from './ipam-choice.ts';
export { type LayoutRequest, layOutSubnet } from './ipam-layout.ts';
export { isUnicastMac, macFromIpv4, macFromIpv6, parseMac } from './ipam-mac.ts';
export {
  type ChosenSubnet,
  checkPools,
  checkSubnet,
  chooseSubnet,
  DEFAULT_IPV4_POOLS,
  DEFAULT_REALM_POOLS,
  holdSubnet,
  releaseSubnet,
  type SubnetPool,
  type SubnetSpace,
  setRoutes,
  subnetSpace,
  ulaPool,
} from './ipam-subnets.ts';

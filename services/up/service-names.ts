/** The services, in the order in which they are started. Apart from services.ts, so that naming them loads none. */
export const serviceNames = ['worker', 'projector', 'controller', 'collector'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** What the page of views says of the fields that many of them have. */
/** Type and meaning of a field; of what is an event's own field nothing has to be said again. */
export type Said = readonly [type: string, meaning: string];
export type Fields<Row> = Readonly<Record<keyof Row & string, Said>>;

export const time = 'date-time';
export const common = {
  host: ['string', 'name of its host'],
  since: [time, 'since when it is in this state'],
  createdAt: [time, 'when it was accepted'],
  createdBy: ['string', 'who created it'],
  actorproof: ['`"nats"` or `"claim"` or null', 'whether the server vouches for the actor; null: nobody does'],
  intent: ['string', 'event id of the latest intent: the one whose outcome moves the state'],
  fault: ['Fault or null', 'why the latest intent failed'],
  changedPosition: ['integer', 'position of the commit that changed this row last'],
} as const satisfies Readonly<Record<string, Said>>;

export const networkNames = {
  networkId: ['string', 'id of the network'],
  network: ['string', 'name of the network'],
} as const;

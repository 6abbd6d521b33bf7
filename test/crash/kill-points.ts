/** Where the process is killed, along the way of the money. */
export const KILL_POINTS = [
  "before an order is written",
  "before a commit",
  "after a commit",
  "after an order is written",
  "after a charge",
  "after an order is settled",
  "after an announcement",
  "after noting an announcement",
  "at any time",
] as const;

export type KillPoint = (typeof KILL_POINTS)[number];

/** Ways to break the service that the harness must notice. */
export const SABOTAGES = [
  "a fresh payment key per try",
  "note an announcement that is none",
  "announce without noting it",
  "answer before the commit",
] as const;

export type Sabotage = (typeof SABOTAGES)[number];

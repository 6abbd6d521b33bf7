/** Where the process is killed, along the way of the money. */
export const KILL_POINTS = [
  "before an order is written",
  "before a commit",
  "after a commit",
  "after an order is written",
  "after a charge",
  "after an order is settled",
  "after a notification",
  "after recording a notification",
  "at any time",
] as const;

export type KillPoint = (typeof KILL_POINTS)[number];

/**
 * Ways to break the service that the harness must notice: each by one kill, the first time that the point
 * is passed, in a world where nothing fails and nobody is declined. There each shows for certain.
 */
export const SABOTAGES = [
  {
    name: "a fresh payment key per try",
    point: "after a charge",
    why: "the order is pending and has been charged under a key that nobody knows: it is charged again",
    shows: /^order \d+ is paid, charged [2-9] times$/,
  },
  {
    name: "record a notification that was not sent",
    point: "after recording a notification",
    why: "the notification is recorded, so nobody will ever send it",
    shows: /^order \d+ is paid, notified: false$/,
  },
  {
    name: "notify without recording it",
    point: "after recording a notification",
    why: "no note is kept, of this order or any other: all stay due",
    shows: /^order \d+ is paid, and still due$/,
  },
  {
    name: "answer before the commit",
    point: "after a charge",
    why: "order 1 has been charged and never will be written: whoever is order 1 next is charged, too",
    shows: /^order 1 is paid, charged [2-9] times$/,
  },
] as const satisfies readonly {
  readonly name: string;
  readonly point: KillPoint;
  /** Why it must show. */
  readonly why: string;
  /** A wrong that must be among those found. */
  readonly shows: RegExp;
}[];

export type Sabotage = (typeof SABOTAGES)[number]["name"];

import type { Mutation } from "./tools.ts";

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

/**
 * Ways to break what several copies rely on, each by a change to a source, in a world where each charge takes
 * its time. There two soon ask for the money of one order at the same time.
 */
export const COPY_SABOTAGES: readonly {
  readonly name: string;
  readonly why: string;
  readonly mutations: readonly Mutation[];
  /** What happens to the copies; none is killed. */
  readonly ordeal: Ordeal;
}[] = [
  {
    name: "claims what another is claiming",
    why: "both have the row, for the second has only waited for the first",
    mutations: [{ file: "store/dialect.ts", from: "sql`FOR UPDATE SKIP LOCKED`", to: "sql``" }],
    ordeal: { dueOrders: true, holdClaims: true },
  },
  {
    name: "takes all at its start, as if it were alone",
    why: "the other copies are asking for what they have just taken",
    mutations: [
      {
        file: "orders/waker.ts",
        from: "isStarting = !isShared",
        to: "isStarting = true",
      },
    ],
    ordeal: { restarts: true },
  },
  {
    name: "asks for the money when its lease is over",
    why: "another copy has the lease by then",
    mutations: [
      { file: "orders/charge-order.ts", from: "if (leftMs <= 0)", to: "if (false)" },
      {
        file: "orders/charge-order.ts",
        from: "Math.min(config.paymentTimeoutMs, leftMs)",
        to: "config.paymentTimeoutMs",
      },
    ],
    ordeal: { holdOpenings: true },
  },
  {
    name: "begins its transactions by hand, on a pool",
    why: "the driver commits on another connection than the one that was cut, and the claim is none",
    mutations: [
      {
        file: "store/postgres/connection.ts",
        from: "sql.begin(async (transaction) => {",
        to: `((act: (on: SQL) => Promise<any>) =>
          sql.unsafe("BEGIN").then(async () => {
            const result = await act(sql);
            await sql.unsafe("COMMIT");
            return result;
          }))(async (transaction) => {`,
      },
      { file: "store/postgres/connection.ts", from: "await pool.reserve()", to: "pool" },
      {
        file: "store/postgres/connection.ts",
        from: "isOpen: () => isOpen",
        to: "isOpen: () => true",
      },
    ],
    ordeal: { dueOrders: true, holdClaims: true, cuts: true },
  },
];

/** What the copies go through beside their work. */
export interface Ordeal {
  /** They find many orders in doubt. */
  readonly dueOrders?: true;
  /** The order is opened, and the process stands still until its lease is over. */
  readonly holdOpenings?: true;
  /** The process stands still within a claim. */
  readonly holdClaims?: true;
  /** A copy is killed and another started, again and again. */
  readonly restarts?: true;
  /** The connections to the database are cut, again and again. */
  readonly cuts?: true;
}

export type Sabotage = (typeof SABOTAGES)[number]["name"];

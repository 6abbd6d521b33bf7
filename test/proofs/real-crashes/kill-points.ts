import type { Mutation } from "./tools.ts";

/** Points at which the process is killed, in the order in which a payment reaches them. */
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
 * Ways to break the service that the harness must detect with one kill, the first time `point` is
 * reached. Without faults and declined payments, each sabotage is certain to show.
 */
export const SABOTAGES = [
  {
    name: "a fresh payment key per attempt",
    point: "after a charge",
    why: "the order is pending but was charged under a lost key: the retry charges it again",
    shows: /^order \d+ is paid, charged [2-9] times$/,
  },
  {
    name: "record a notification that was not sent",
    point: "after recording a notification",
    why: "the notification is recorded as sent, so it is never sent",
    shows: /^order \d+ is paid, notified: false$/,
  },
  {
    name: "notify without recording it",
    point: "after recording a notification",
    why: "no notification is recorded: every order stays due",
    shows: /^order \d+ is paid but still due$/,
  },
  {
    name: "answer before the commit",
    point: "after a charge",
    why: "order 1 was charged and never committed: the next order with id 1 is charged too",
    shows: /^order 1 is paid, charged [2-9] times$/,
  },
] as const satisfies readonly {
  readonly name: string;
  readonly point: KillPoint;
  /** Why the harness must detect it. */
  readonly why: string;
  /** Must match one of the violations. */
  readonly shows: RegExp;
}[];

/**
 * Ways to break the coordination of several instances by changing a source file. Since charges are
 * slow in these runs, some order soon has two concurrent charges.
 */
export const INSTANCE_SABOTAGES: readonly {
  readonly name: string;
  readonly why: string;
  readonly mutations: readonly Mutation[];
  readonly faults: Faults;
}[] = [
  {
    name: "claims rows that another instance is claiming",
    why: "the second claim waits for the first to commit and then claims the same row",
    mutations: [
      { file: "store/postgres/schema.ts", from: "sql`FOR UPDATE SKIP LOCKED`", to: "sql``" },
    ],
    faults: { dueOrders: true, holdClaims: true },
  },
  {
    name: "claims every order on start, as on SQLite",
    why: "the other instances are charging the orders they have just claimed",
    mutations: [
      {
        file: "orders/retry-schedule.ts",
        from: "isStarting = !isShared",
        to: "isStarting = true",
      },
    ],
    faults: { restarts: true },
  },
  {
    name: "charges after its lease has expired",
    why: "another instance holds the lease by then",
    mutations: [
      { file: "orders/charge-order.ts", from: "if (leftMs <= 0)", to: "if (false)" },
      {
        file: "orders/charge-order.ts",
        from: "Math.min(config.paymentTimeoutMs, leftMs)",
        to: "config.paymentTimeoutMs",
      },
    ],
    faults: { holdInserts: true },
  },
  {
    name: "issues BEGIN and COMMIT by hand on a pool",
    why: "after a cut the driver commits on a different connection, so the claim is rolled back",
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
    faults: { dueOrders: true, holdClaims: true, cuts: true },
  },
];

/** Faults injected while the instances run. */
export interface Faults {
  /** Many orders in doubt are due. */
  readonly dueOrders?: true;
  /** The process stalls after inserting an order until its lease has expired. */
  readonly holdInserts?: true;
  /** The process stalls within a claim's transaction. */
  readonly holdClaims?: true;
  /** Instances are repeatedly killed and replaced. */
  readonly restarts?: true;
  /** The connections to the database are repeatedly cut. */
  readonly cuts?: true;
}

export type Sabotage = (typeof SABOTAGES)[number]["name"];

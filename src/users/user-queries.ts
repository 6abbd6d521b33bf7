import { desc, eq, sql } from "drizzle-orm";
import { prepared, type ReadTx, type Tx } from "../store/store.ts";
import type { PhoneNumber } from "./phone-number.ts";

/** A user as given at registration; what is null is not known, and not to be forgotten either. */
export interface UserDraft {
  readonly phoneNumber: PhoneNumber;
  readonly chatId: number | null;
  readonly fullName: string | null;
}

export interface UpsertedUser {
  readonly userId: number;
  /** True for exactly one registration in each cooldown: that one is to send the SMS. */
  readonly smsDue: boolean;
}

/** The clocks of two copies may differ by some milliseconds. */
const CLOCK_DIFFERENCE_MS = 1000;

// One statement for all that are registered in a batch: a draft is an array in an array of JSON, and the
// columns stand in the table's order. Users within their cooldown are left as they are.
const upsertForSms = prepared((tx, { users }, { jsonEach, nextId }) =>
  tx
    .insert(users)
    .select(
      sql`
        SELECT ${nextId("users")}, draft.value->>0, CAST(draft.value->>1 AS bigint), draft.value->>2,
          CAST(${sql.placeholder("now")} AS bigint), CAST(${sql.placeholder("now")} AS bigint)
        FROM ${jsonEach(sql.placeholder("drafts"))} AS draft
        WHERE true
      `,
    )
    .onConflictDoUpdate({
      target: users.phoneNumber,
      set: {
        chatId: sql`coalesce(excluded.chat_id, ${users.chatId})`,
        fullName: sql`coalesce(excluded.full_name, ${users.fullName})`,
        smsTriedAt: sql`excluded.sms_tried_at`,
      },
      setWhere: sql`
        ${users.smsTriedAt} <= ${sql.placeholder("smsTriedBefore")}
        OR ${users.smsTriedAt} > ${sql.placeholder("smsTriedByLatest")}
      `,
    })
    .returning({ userId: users.id, phoneNumber: users.phoneNumber }),
);

const update = prepared((tx, { users }) =>
  tx
    .update(users)
    .set({
      chatId: sql`coalesce(CAST(${sql.placeholder("chatId")} AS bigint), ${users.chatId})`,
      fullName: sql`coalesce(CAST(${sql.placeholder("fullName")} AS text), ${users.fullName})`,
    })
    .where(eq(users.phoneNumber, sql.placeholder("phoneNumber")))
    .returning({ userId: users.id }),
);

/** Keeps each user under the number, as new or with what is new about him. Instants in ms. */
export async function upsertUsers(
  tx: Tx,
  drafts: readonly UserDraft[],
  now: number,
  smsCooldownMs: number,
): Promise<UpsertedUser[]> {
  // Each number once, and in one order for all batches: two that wrote the same numbers crosswise would
  // wait for each other.
  const first = new Map(drafts.toReversed().map((draft) => [draft.phoneNumber, draft]));
  const rows = Array.from(first.values(), ({ phoneNumber, chatId, fullName }) => [
    phoneNumber,
    chatId,
    fullName,
  ]).toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  const due = await upsertForSms(tx, {
    drafts: JSON.stringify(rows),
    now,
    smsTriedBefore: now - smsCooldownMs,
    // Later than this, the clock was ahead when the SMS was tried.
    smsTriedByLatest: now + Math.min(CLOCK_DIFFERENCE_MS, smsCooldownMs),
  });
  const userIds = new Map(due.map(({ phoneNumber, userId }) => [phoneNumber, userId]));
  const upserted: UpsertedUser[] = [];
  for (const draft of drafts) {
    const userId = userIds.get(draft.phoneNumber);
    // The first of several with this number; what the others bring comes on top.
    userIds.delete(draft.phoneNumber);
    upserted.push(
      userId === undefined
        ? { userId: await updateUser(tx, draft), smsDue: false }
        : { userId, smsDue: true },
    );
  }
  return upserted;
}

async function updateUser(tx: Tx, draft: UserDraft): Promise<number> {
  const [user] = await update(tx, { ...draft });
  if (user === undefined) throw new Error("a user is neither new nor there");
  return user.userId;
}

/** The user with this number, if there is one. */
export const userByPhoneNumber = prepared((tx: ReadTx, { users }) =>
  tx
    .select()
    .from(users)
    .where(eq(users.phoneNumber, sql.placeholder("phoneNumber"))),
);

/** The user of this chat, if there is one; of several the newest. */
export const userByChatId = prepared((tx: ReadTx, { users }) =>
  tx
    .select()
    .from(users)
    .where(eq(users.chatId, sql.placeholder("chatId")))
    .orderBy(desc(users.id))
    .limit(1),
);

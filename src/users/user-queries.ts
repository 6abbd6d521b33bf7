import { desc, eq, sql } from "drizzle-orm";
import { prepared, type ReadTx, selectList, type Tx } from "../store/store.ts";
import type { PhoneNumber } from "./phone-number.ts";

/** A registration. Null fields leave the stored values unchanged. */
export interface UserDraft {
  readonly phoneNumber: PhoneNumber;
  readonly chatId: number | null;
  readonly fullName: string | null;
}

interface UpsertedUser {
  readonly userId: number;
  /** Whether to send an SMS: true for exactly one registration per cooldown. */
  readonly smsDue: boolean;
}

/** Tolerated clock skew between instances, which is normally a few milliseconds. */
const CLOCK_SKEW_MS = 1000;

const value = sql.placeholder;

// One statement per batch. `drafts` is a JSON array of arrays. Skips users within their cooldown.
const upsertForSms = prepared((tx, { users }, { jsonEach, nextId }) => {
  const now = sql`CAST(${value("now")} AS bigint)`;
  const columns = selectList(users, {
    id: nextId("users"),
    phoneNumber: sql`draft.value->>0`,
    chatId: sql`CAST(draft.value->>1 AS bigint)`,
    fullName: sql`draft.value->>2`,
    createdAt: now,
    smsTriedAt: now,
  });
  return tx
    .insert(users)
    .select(sql`SELECT ${columns} FROM ${jsonEach(value("drafts"))} AS draft WHERE true`)
    .onConflictDoUpdate({
      target: users.phoneNumber,
      set: {
        chatId: sql`coalesce(excluded.chat_id, ${users.chatId})`,
        fullName: sql`coalesce(excluded.full_name, ${users.fullName})`,
        smsTriedAt: sql`excluded.sms_tried_at`,
      },
      setWhere: sql`
        ${users.smsTriedAt} <= ${value("smsTriedBefore")}
        OR ${users.smsTriedAt} > ${value("smsTriedByLatest")}
      `,
    })
    .returning({ userId: users.id, phoneNumber: users.phoneNumber });
});

const update = prepared((tx, { users }) =>
  tx
    .update(users)
    .set({
      chatId: sql`coalesce(CAST(${value("chatId")} AS bigint), ${users.chatId})`,
      fullName: sql`coalesce(CAST(${value("fullName")} AS text), ${users.fullName})`,
    })
    .where(eq(users.phoneNumber, value("phoneNumber")))
    .returning({ userId: users.id }),
);

/**
 * Inserts or updates the user of each draft, and returns one result per draft, in the same order.
 * `now` and `smsCooldownMs` are in ms.
 */
export async function upsertUsers(
  tx: Tx,
  drafts: readonly UserDraft[],
  now: number,
  smsCooldownMs: number,
): Promise<UpsertedUser[]> {
  // Deduplicated and sorted: batches that lock the same numbers in a different sequence could
  // deadlock.
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
    // A later time was recorded while the clock was ahead.
    smsTriedByLatest: now + Math.min(CLOCK_SKEW_MS, smsCooldownMs),
  });
  const userIds = new Map(due.map(({ phoneNumber, userId }) => [phoneNumber, userId]));
  const upserted: UpsertedUser[] = [];
  for (const draft of drafts) {
    const userId = userIds.get(draft.phoneNumber);
    // The first draft of a number is already stored; later ones update the same user.
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
  if (user === undefined) throw new Error("the user was neither inserted nor found");
  return user.userId;
}

/** Selects the user with this phone number. */
export const userByPhoneNumber = prepared((tx: ReadTx, { users }) =>
  tx
    .select()
    .from(users)
    .where(eq(users.phoneNumber, value("phoneNumber"))),
);

/** Selects the newest user of this chat. */
export const userByChatId = prepared((tx: ReadTx, { users }) =>
  tx
    .select()
    .from(users)
    .where(eq(users.chatId, value("chatId")))
    .orderBy(desc(users.id))
    .limit(1),
);

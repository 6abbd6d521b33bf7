import { eq, lte, sql } from "drizzle-orm";
import { prepared, type Tx } from "../store/store.ts";
import { users } from "../store/tables.ts";
import type { PhoneNumber } from "./phone-number.ts";

/** A user as given at registration; what is null is not known, and not to be forgotten either. */
export interface UserDraft {
  readonly phoneNumber: PhoneNumber;
  readonly chatId: number | null;
  readonly fullName: string | null;
}

const known = {
  chatId: sql`coalesce(${sql.placeholder("chatId")}, ${users.chatId})`,
  fullName: sql`coalesce(${sql.placeholder("fullName")}, ${users.fullName})`,
};

const upsertForSms = prepared((tx) =>
  tx
    .insert(users)
    .values({
      phoneNumber: sql.placeholder("phoneNumber"),
      chatId: sql.placeholder("chatId"),
      fullName: sql.placeholder("fullName"),
      createdAt: sql.placeholder("now"),
      smsTriedAt: sql.placeholder("now"),
    })
    .onConflictDoUpdate({
      target: users.phoneNumber,
      set: { ...known, smsTriedAt: sql`excluded.sms_tried_at` },
      setWhere: lte(users.smsTriedAt, sql.placeholder("smsTriedBefore")),
    })
    .returning({ id: users.id })
    .prepare(),
);

const update = prepared((tx) =>
  tx
    .update(users)
    .set(known)
    .where(eq(users.phoneNumber, sql.placeholder("phoneNumber")))
    .returning({ id: users.id })
    .prepare(),
);

/**
 * Keeps the user under this number, as new or with what is new about him. `smsDue` is true for exactly
 * one registration in each cooldown: that one is to send the SMS. Instants in ms.
 */
export async function upsertUser(
  tx: Tx,
  draft: UserDraft,
  now: number,
  smsCooldownMs: number,
): Promise<{ userId: number; smsDue: boolean }> {
  const [due] = await upsertForSms(tx).execute({
    ...draft,
    now,
    smsTriedBefore: now - smsCooldownMs,
  });
  if (due !== undefined) return { userId: due.id, smsDue: true };
  const [user] = await update(tx).execute({ ...draft });
  if (user === undefined) throw new Error("a user is neither new nor there");
  return { userId: user.id, smsDue: false };
}

import type { CancelReason, Order, OrderEvent, Stage } from "../store/schema.ts";
import type { Content, Html } from "./html.ts";
import { en } from "./translations-en.ts";
import { ru } from "./translations-ru.ts";
import { uz } from "./translations-uz.ts";

/** The languages of the board, the first by default. */
export const LANGUAGES = ["ru", "uz", "en"] as const;

export type Language = (typeof LANGUAGES)[number];

/** Reasons for refusing a request. */
export const REFUSALS = [
  "invalid_host",
  "not_found",
  "method_not_allowed",
  "unsupported_media_type",
  "body_too_large",
  "internal_error",
  "unavailable",
  "foreign_form",
  "invalid_form",
  "invalid_text",
  "no_session",
] as const;

export type RefusalCode = (typeof REFUSALS)[number];

/** All strings of the board in one language. */
export interface Translations {
  readonly board: string;
  readonly days: string;
  readonly menu: string;
  readonly languages: string;
  readonly search: string;
  readonly find: string;
  readonly nothingFound: string;
  readonly today: string;
  readonly sum: string;
  readonly refundsOwed: string;
  readonly columns: Readonly<Record<"new" | "accepted" | "in_progress", string>>;
  readonly stages: Readonly<Record<Stage, string>>;
  /** Label before the number of orders in the stage. */
  readonly totals: Readonly<Record<"completed" | "cancelled", string>>;
  readonly verbs: Readonly<
    Record<"accept" | "start" | "complete" | "cancel" | "undo" | "refund", string>
  >;
  /** The button that submits the cancel form. */
  readonly cancelOrder: string;
  /** The button that closes the cancel form. */
  readonly keepOrder: string;
  readonly call: string;
  readonly dismiss: string;
  readonly events: Readonly<Record<OrderEvent["kind"], string>>;
  readonly reasons: Readonly<Record<CancelReason, string>>;
  readonly refunds: Readonly<Record<NonNullable<Order["refund"]>, string>>;
  readonly refund: string;
  readonly refundHint: string;
  readonly noAddress: string;
  readonly address: string;
  readonly comment: string;
  readonly customer: string;
  readonly amount: string;
  readonly reason: string;
  readonly note: string;
  readonly giveMoneyBack: string;
  readonly reference: string;
  readonly showPhone: string;
  readonly history: string;
  readonly paid: string;
  readonly order: string;
  readonly toBoard: string;
  readonly empty: Readonly<Record<"new" | "accepted" | "in_progress", string>>;
  /** How many orders of a longer column are shown. */
  readonly shown: (shown: number, all: string) => string;
  readonly more: string;
  /** The pill for new orders outside the view; `#` stands for their number. */
  readonly newBelow: string;
  readonly day: string;
  readonly time: string;
  readonly stage: string;
  readonly all: string;
  readonly show: string;
  readonly fourteenDays: string;
  readonly weekAgo: string;
  readonly allOrders: string;
  readonly cancelledOrders: string;
  readonly revenueBelow: string;
  readonly signIn: string;
  readonly signOut: string;
  readonly key: string;
  readonly showKey: string;
  readonly linkHint: string;
  /** The button on the page of a sign-in link. */
  readonly signInAs: (who: Content) => Html;
  readonly signInWithKey: string;
  readonly deadLink: string;
  readonly wrongKey: string;
  readonly tooManyKeys: string;
  readonly changedTitle: string;
  /** The change that another dispatcher made first. */
  readonly changed: (what: string, who: Content, when: string) => Html;
  /** After a form of a page that was shown to another dispatcher. */
  readonly otherViewer: (who: Content) => Html;
  readonly noSuchStep: string;
  readonly notDone: string;
  readonly tryAgain: string;
  readonly refusals: Readonly<Record<RefusalCode, string>>;
  /** Where to sign in if the browser drops the cookie at this address. */
  readonly signInAt: (address: Content) => Html;
  readonly notFound: string;
  readonly connected: string;
  readonly connecting: string;
  readonly offline: string;
  /** Shown beside a form whose change was not confirmed. */
  readonly notSaved: string;
  /** Shown beside a search that got no answer. */
  readonly noAnswer: string;
  readonly sound: string;
  readonly soundBlocked: string;
  readonly turnSoundOn: string;
  readonly keys: string;
  readonly skip: string;
  readonly justNow: string;
  readonly minutes: string;
  readonly hours: string;
  readonly daysAgo: string;
  readonly orders: (count: number) => string;
}

export const TRANSLATIONS: Readonly<Record<Language, Translations>> = { ru, uz, en };

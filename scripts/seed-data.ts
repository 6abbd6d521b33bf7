/** A dispatcher's step, timed in minutes after the payment. */
type PlannedStep = { readonly afterMin: number } & (
  | { readonly verb: "accept"; readonly to: "accepted" }
  | { readonly verb: "start"; readonly to: "in_progress" }
  | { readonly verb: "complete"; readonly to: "completed" }
  | {
      readonly verb: "cancel";
      readonly to: "cancelled";
      readonly reason: string;
      readonly note: string;
      readonly owed: "yes";
    }
  | { readonly verb: "refund"; readonly to: "cancelled"; readonly reference: string }
);

export interface PlannedOrder {
  readonly steps: readonly PlannedStep[];
  readonly address?: string;
  readonly comment?: string;
}

export const DISPATCHERS = [
  { name: "Aziza", key: "the-key-of-aziza-in-the-seed" },
  { name: "Bobur", key: "the-key-of-bobur-in-the-seed" },
];

/** Names in three scripts. */
export const NAMES = [
  "Aziza Karimova",
  "Bobur Aliyev",
  "Жасур Рахимов",
  "Dilnoza Yusupova",
  "Ольга Ким",
  "Gʻayrat Toʻxtayev",
  "عبد الرحمن يوسف",
  "Нигора Саидова",
  "Shohruh Mirzayev",
  "Екатерина Александровна Константинопольская",
];

export const ADDRESSES = [
  "Toshkent, Chilonzor 9-mavze, 12-uy, 45-xonadon",
  "Ташкент, ул. Шота Руставели, 22, кв. 8",
  "Toshkent, Yunusobod 4, 17-uy",
  "Ташкент, Мирзо-Улугбекский район, ул. Паркентская, 315",
  "Toshkent, Sergeli, Yangi Sergeli ko‘chasi 41A",
  "Ташкент, массив Куйлюк-5, дом 3, кв. 61, 2-й подъезд",
  "Toshkent, Mirobod, Nukus ko‘chasi 29",
];

export const COMMENTS = [
  "Домофон не работает, позвоните за 10 минут",
  "Iltimos, soat 18:00 dan keyin keling",
  "Во дворе собака",
  "Lift yo‘q, 4-qavat",
  "Нужен чек",
];

export const TARIFFS = [
  { code: "standard_300", title: "Standard", price_tiyin: 30_000 },
  { code: "cleaning", title: "Uy tozalash", price_tiyin: 15_000_000 },
  { code: "plumber", title: "Сантехник", price_tiyin: 9_000_000 },
];

const accept = (afterMin: number) => ({ verb: "accept", to: "accepted", afterMin }) as const;
const start = (afterMin: number) => ({ verb: "start", to: "in_progress", afterMin }) as const;
const complete = (afterMin: number) => ({ verb: "complete", to: "completed", afterMin }) as const;
const cancel = (afterMin: number, reason: string, note: string) =>
  ({ verb: "cancel", to: "cancelled", afterMin, reason, note, owed: "yes" }) as const;
const refund = (afterMin: number, reference: string) =>
  ({ verb: "refund", to: "cancelled", afterMin, reference }) as const;

/** Returns an order from an earlier day: every 13th is cancelled and refunded, others completed. */
export function pastOrder(n: number): PlannedOrder {
  if (n % 13 === 5) {
    const reason = n % 2 === 0 ? "customer" : "no_answer";
    return { steps: [cancel(6, reason, "kelishildi"), refund(95, `RF-${10_000 + n}`)] };
  }
  return { steps: [accept(2 + (n % 7)), start(20 + (n % 15)), complete(80 + (n % 60))] };
}

/** Orders from the last few hours, in every stage. */
export const TODAY: readonly (PlannedOrder & { readonly agoMin: number })[] = [
  { agoMin: 330, steps: [accept(3), start(25), complete(140)] },
  { agoMin: 290, steps: [accept(2), start(40), complete(150)] },
  { agoMin: 255, steps: [cancel(20, "no_specialist", ""), refund(60, "RF-20417")] },
  { agoMin: 230, steps: [accept(4), start(30), complete(120)] },
  { agoMin: 200, steps: [accept(3), start(35)], comment: "Во дворе собака" },
  { agoMin: 150, steps: [accept(5), cancel(50, "customer", "Перенёс на следующую неделю")] },
  { agoMin: 115, steps: [accept(2), start(30)] },
  { agoMin: 80, steps: [accept(4), start(45)] },
  { agoMin: 62, steps: [accept(6)], comment: "Iltimos, soat 18:00 dan keyin keling" },
  { agoMin: 48, steps: [cancel(9, "area", "Chirchiq shahri")] },
  { agoMin: 33, steps: [accept(10)] },
  { agoMin: 26, steps: [accept(20)] },
  {
    agoMin: 22,
    steps: [],
    address: "Ташкент, ул. Бабура, 174, кв. 12",
    comment: "Протекает кран, срочно",
  },
  { agoMin: 9, steps: [] },
  { agoMin: 7, steps: [] },
  { agoMin: 4, steps: [], comment: "Домофон не работает, позвоните за 10 минут" },
  { agoMin: 1, steps: [] },
];

import type { CancelReason, Order, OrderEvent, Stage } from "../store/schema.ts";
import { type Content, html, type Html } from "./html.ts";

/** The languages of the board, the first by default. */
export const LANGUAGES = ["ru", "uz", "en"] as const;

export type Language = (typeof LANGUAGES)[number];

/** Why the board refuses a request. */
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

/** Everything that the board says, in one language. */
export interface Translations {
  readonly board: string;
  readonly days: string;
  readonly search: string;
  readonly find: string;
  readonly nothingFound: string;
  readonly today: string;
  readonly sum: string;
  readonly refundsOwed: string;
  readonly columns: Readonly<Record<"new" | "accepted" | "in_progress", string>>;
  readonly stages: Readonly<Record<Stage, string>>;
  readonly verbs: Readonly<
    Record<"accept" | "start" | "complete" | "cancel" | "undo" | "refund", string>
  >;
  readonly events: Readonly<Record<OrderEvent["kind"], string>>;
  readonly reasons: Readonly<Record<CancelReason, string>>;
  readonly refunds: Readonly<Record<NonNullable<Order["refund"]>, string>>;
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
  readonly empty: string;
  readonly more: string;
  readonly day: string;
  readonly time: string;
  readonly stage: string;
  readonly all: string;
  readonly show: string;
  readonly fourteenDays: string;
  readonly ordersAndCancelled: string;
  readonly signIn: string;
  readonly signOut: string;
  readonly key: string;
  readonly wrongKey: string;
  readonly tooManyKeys: string;
  readonly changedTitle: string;
  /** What somebody has done with an order meanwhile. */
  readonly changed: (what: string, who: Content, when: string) => Html;
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
  readonly keys: string;
  readonly skip: string;
  readonly minutes: string;
  readonly hours: string;
  readonly daysAgo: string;
  readonly orders: (count: number) => string;
}

function plural(
  language: Language,
  forms: Partial<Record<Intl.LDMLPluralRule, string>> & { other: string },
) {
  const rules = new Intl.PluralRules(language);
  return (count: number) => forms[rules.select(count)] ?? forms.other;
}

const ru: Translations = {
  board: "Доска",
  days: "По дням",
  search: "Телефон или номер заказа",
  find: "Найти",
  nothingFound: "Ничего не найдено.",
  today: "Сегодня",
  sum: "сум",
  refundsOwed: "Вернуть деньги",
  columns: { new: "Новые", accepted: "Приняты", in_progress: "В работе" },
  stages: {
    new: "Новый",
    accepted: "Принят",
    in_progress: "В работе",
    completed: "Выполнен",
    cancelled: "Отменён",
  },
  verbs: {
    accept: "Принять",
    start: "Мастер в пути",
    complete: "Выполнен",
    cancel: "Отменить",
    undo: "Вернуть назад",
    refund: "Деньги возвращены",
  },
  events: {
    accept: "Принят",
    start: "Мастер в пути",
    complete: "Выполнен",
    cancel: "Отменён",
    undo: "Шаг возвращён",
    refund: "Деньги возвращены",
    phone_shown: "Номер показан",
    settled: "Оплата подтвердилась",
  },
  reasons: {
    customer: "Клиент передумал",
    no_answer: "Не отвечает",
    no_specialist: "Нет мастера",
    area: "Не обслуживаем адрес",
    duplicate: "Повторный заказ",
    other: "Другое",
  },
  refunds: { owed: "Деньги ещё не возвращены", given: "Деньги возвращены" },
  noAddress: "Адрес не указан: спросите по телефону",
  address: "Адрес",
  comment: "Комментарий",
  customer: "Клиент",
  amount: "Сумма",
  reason: "Причина",
  note: "Примечание",
  giveMoneyBack: "Вернуть деньги клиенту",
  reference: "Номер возврата у провайдера",
  showPhone: "Показать номер",
  history: "История",
  paid: "Оплачен",
  order: "Заказ",
  toBoard: "На доску",
  empty: "Пусто",
  more: "Показать ещё",
  day: "День",
  time: "Время",
  stage: "Этап",
  all: "Все",
  show: "Показать",
  fourteenDays: "14 дней",
  ordersAndCancelled: "заказы, тёмным — отменённые; внизу — сумма в тысячах",
  signIn: "Войти",
  signOut: "Выйти",
  key: "Ваш ключ",
  wrongKey: "Этот ключ не подходит.",
  tooManyKeys: "Слишком много попыток. Подождите минуту.",
  changedTitle: "Заказ уже изменён",
  changed: (what, who, when) => html`${what}: ${who}, ${when}. Ваше действие не выполнено.`,
  noSuchStep: "Этот шаг сейчас невозможен. Ничего не изменилось.",
  notDone: "Не выполнено",
  tryAgain: "Попробовать ещё раз",
  refusals: {
    invalid_host: "По этому адресу доска не открывается. Проверьте адрес в строке браузера.",
    not_found: "Такой страницы нет.",
    method_not_allowed: "Эту страницу нельзя открыть по ссылке.",
    unsupported_media_type: "Сервис не понял запрос. Ничего не изменилось.",
    body_too_large: "Слишком длинный текст. Ничего не изменилось.",
    internal_error: "В сервисе произошла ошибка. Попробуйте ещё раз.",
    unavailable: "Сервис сейчас не может сохранить данные. Попробуйте ещё раз.",
    foreign_form: "Запрос пришёл не с доски и отклонён. Ничего не изменилось.",
    invalid_form: "Запрос повреждён. Ничего не изменилось.",
    invalid_text: "Текст пустой, слишком длинный или содержит недопустимые символы. Исправьте его.",
    no_session: "Вы не вошли.",
  },
  signInAt: (address) =>
    html`Входите по адресу ${address}. По другим адресам браузер может не запомнить вход.`,
  notFound: "Такого заказа нет.",
  connected: "На связи",
  connecting: "Подключение…",
  offline: "Нет связи",
  notSaved: "Не сохранено. Попробуйте ещё раз.",
  noAnswer: "Нет ответа. Попробуйте ещё раз.",
  sound: "Звук",
  keys: "Клавиши: J K — выбор, Enter — открыть, A — следующий шаг, / — поиск",
  skip: "К содержанию",
  minutes: "мин",
  hours: "ч",
  daysAgo: "д",
  orders: plural("ru", { one: "заказ", few: "заказа", many: "заказов", other: "заказа" }),
};

const uz: Translations = {
  board: "Doska",
  days: "Kunlar",
  search: "Telefon yoki buyurtma raqami",
  find: "Qidirish",
  nothingFound: "Hech narsa topilmadi.",
  today: "Bugun",
  sum: "so‘m",
  refundsOwed: "Pulni qaytarish",
  columns: { new: "Yangi", accepted: "Qabul qilingan", in_progress: "Ishda" },
  stages: {
    new: "Yangi",
    accepted: "Qabul qilingan",
    in_progress: "Ishda",
    completed: "Bajarilgan",
    cancelled: "Bekor qilingan",
  },
  verbs: {
    accept: "Qabul qilish",
    start: "Usta yo‘lda",
    complete: "Bajarildi",
    cancel: "Bekor qilish",
    undo: "Orqaga qaytarish",
    refund: "Pul qaytarildi",
  },
  events: {
    accept: "Qabul qilindi",
    start: "Usta yo‘lda",
    complete: "Bajarildi",
    cancel: "Bekor qilindi",
    undo: "Qadam qaytarildi",
    refund: "Pul qaytarildi",
    phone_shown: "Raqam ko‘rsatildi",
    settled: "To‘lov tasdiqlandi",
  },
  reasons: {
    customer: "Mijoz fikridan qaytdi",
    no_answer: "Javob bermayapti",
    no_specialist: "Usta yo‘q",
    area: "Bu manzilga bormaymiz",
    duplicate: "Takroriy buyurtma",
    other: "Boshqa",
  },
  refunds: { owed: "Pul hali qaytarilmagan", given: "Pul qaytarilgan" },
  noAddress: "Manzil yo‘q: telefonda so‘rang",
  address: "Manzil",
  comment: "Izoh",
  customer: "Mijoz",
  amount: "Summa",
  reason: "Sabab",
  note: "Eslatma",
  giveMoneyBack: "Mijozga pulni qaytarish",
  reference: "Provayderdagi qaytarish raqami",
  showPhone: "Raqamni ko‘rsatish",
  history: "Tarix",
  paid: "To‘langan",
  order: "Buyurtma",
  toBoard: "Doskaga",
  empty: "Bo‘sh",
  more: "Yana ko‘rsatish",
  day: "Kun",
  time: "Vaqt",
  stage: "Bosqich",
  all: "Hammasi",
  show: "Ko‘rsatish",
  fourteenDays: "14 kun",
  ordersAndCancelled: "buyurtmalar, to‘q rangda — bekor qilinganlari; pastda — summa, mingda",
  signIn: "Kirish",
  signOut: "Chiqish",
  key: "Kalitingiz",
  wrongKey: "Bu kalit mos emas.",
  tooManyKeys: "Urinishlar juda ko‘p. Bir daqiqa kuting.",
  changedTitle: "Buyurtma allaqachon o‘zgargan",
  changed: (what, who, when) => html`${what}: ${who}, ${when}. Sizning amalingiz bajarilmadi.`,
  noSuchStep: "Bu qadam hozir mumkin emas. Hech narsa o‘zgarmadi.",
  notDone: "Bajarilmadi",
  tryAgain: "Yana urinib ko‘rish",
  refusals: {
    invalid_host: "Doska bu manzilda ochilmaydi. Brauzerdagi manzilni tekshiring.",
    not_found: "Bunday sahifa yo‘q.",
    method_not_allowed: "Bu sahifani havola orqali ochib bo‘lmaydi.",
    unsupported_media_type: "Xizmat so‘rovni tushunmadi. Hech narsa o‘zgarmadi.",
    body_too_large: "Matn juda uzun. Hech narsa o‘zgarmadi.",
    internal_error: "Xizmatda xatolik yuz berdi. Yana urinib ko‘ring.",
    unavailable: "Xizmat hozir ma’lumotlarni saqlay olmayapti. Yana urinib ko‘ring.",
    foreign_form: "So‘rov doskadan yuborilmagan va rad etildi. Hech narsa o‘zgarmadi.",
    invalid_form: "So‘rov buzilgan. Hech narsa o‘zgarmadi.",
    invalid_text: "Matn bo‘sh, juda uzun yoki unda ruxsat etilmagan belgilar bor. Uni tuzating.",
    no_session: "Siz tizimga kirmagansiz.",
  },
  signInAt: (address) =>
    html`Kirish manzili: ${address}. Boshqa manzilda brauzer kirishni eslab qolmasligi mumkin.`,
  notFound: "Bunday buyurtma yo‘q.",
  connected: "Aloqada",
  connecting: "Ulanmoqda…",
  offline: "Aloqa yo‘q",
  notSaved: "Saqlanmadi. Qayta urinib ko‘ring.",
  noAnswer: "Javob yo‘q. Qayta urinib ko‘ring.",
  sound: "Ovoz",
  keys: "Tugmalar: J K — tanlash, Enter — ochish, A — keyingi qadam, / — qidirish",
  skip: "Mazmunga",
  minutes: "daq",
  hours: "soat",
  daysAgo: "kun",
  orders: plural("uz", { other: "buyurtma" }),
};

const en: Translations = {
  board: "Board",
  days: "Days",
  search: "Phone or order number",
  find: "Find",
  nothingFound: "Nothing was found.",
  today: "Today",
  sum: "sum",
  refundsOwed: "Give money back",
  columns: { new: "New", accepted: "Accepted", in_progress: "In progress" },
  stages: {
    new: "New",
    accepted: "Accepted",
    in_progress: "In progress",
    completed: "Completed",
    cancelled: "Cancelled",
  },
  verbs: {
    accept: "Accept",
    start: "On the way",
    complete: "Completed",
    cancel: "Cancel",
    undo: "Undo",
    refund: "Money given back",
  },
  events: {
    accept: "Accepted",
    start: "On the way",
    complete: "Completed",
    cancel: "Cancelled",
    undo: "Step undone",
    refund: "Money given back",
    phone_shown: "Number shown",
    settled: "Payment confirmed",
  },
  reasons: {
    customer: "Customer changed his mind",
    no_answer: "No answer",
    no_specialist: "No specialist",
    area: "Not our area",
    duplicate: "Ordered twice",
    other: "Other",
  },
  refunds: { owed: "Money is still owed", given: "Money was given back" },
  noAddress: "No address: ask by phone",
  address: "Address",
  comment: "Comment",
  customer: "Customer",
  amount: "Amount",
  reason: "Reason",
  note: "Note",
  giveMoneyBack: "Give the money back",
  reference: "The provider's reference",
  showPhone: "Show the number",
  history: "History",
  paid: "Paid",
  order: "Order",
  toBoard: "To the board",
  empty: "Empty",
  more: "Show more",
  day: "Day",
  time: "Time",
  stage: "Stage",
  all: "All",
  show: "Show",
  fourteenDays: "14 days",
  ordersAndCancelled: "orders, the dark part cancelled; below, thousands of sum",
  signIn: "Sign in",
  signOut: "Sign out",
  key: "Your key",
  wrongKey: "This key opens nothing.",
  tooManyKeys: "Too many attempts. Wait a minute.",
  changedTitle: "The order has changed",
  changed: (what, who, when) => html`${what}: ${who}, ${when}. What you did was not done.`,
  noSuchStep: "This step is not possible now. Nothing has changed.",
  notDone: "Not done",
  tryAgain: "Try again",
  refusals: {
    invalid_host: "The board does not open at this address. Check the address in your browser.",
    not_found: "There is no such page.",
    method_not_allowed: "This page can't be opened by a link.",
    unsupported_media_type: "The service did not understand the request. Nothing has changed.",
    body_too_large: "The text is too long. Nothing has changed.",
    internal_error: "The service failed. Try again.",
    unavailable: "The service can't save data now. Try again.",
    foreign_form: "The request did not come from the board and was refused. Nothing has changed.",
    invalid_form: "The request is damaged. Nothing has changed.",
    invalid_text: "The text is blank, too long or has characters that are not allowed. Correct it.",
    no_session: "You are not signed in.",
  },
  signInAt: (address) =>
    html`Sign in at ${address}. At other addresses the browser may not remember the sign-in.`,
  notFound: "There is no such order.",
  connected: "Online",
  connecting: "Connecting…",
  offline: "Offline",
  notSaved: "Not saved. Try again.",
  noAnswer: "No answer. Try again.",
  sound: "Sound",
  keys: "Keys: J K to choose, Enter to open, A for the next step, / to search",
  skip: "To the content",
  minutes: "min",
  hours: "h",
  daysAgo: "d",
  orders: plural("en", { one: "order", other: "orders" }),
};

export const TRANSLATIONS: Readonly<Record<Language, Translations>> = { ru, uz, en };

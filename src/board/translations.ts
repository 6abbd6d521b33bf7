import { plural } from "../lib/format.ts";
import { type Content, html, type Html } from "./html.ts";

/** The languages of the board, the first by default. */
export const LANGUAGES = ["ru", "uz", "en"] as const;

export type Language = (typeof LANGUAGES)[number];

/** All labels of the board. The compiler rejects one that lacks a language. */
const LABELS = {
  board: { ru: "Заказы", uz: "Buyurtmalar", en: "Orders" },
  days: { ru: "По дням", uz: "Kunlar bo‘yicha", en: "Days" },
  menu: { ru: "Меню", uz: "Menyu", en: "Menu" },
  languages: { ru: "Язык", uz: "Til", en: "Language" },
  search: {
    ru: "Телефон или номер заказа",
    uz: "Telefon yoki buyurtma raqami",
    en: "Phone or order number",
  },
  find: { ru: "Найти", uz: "Qidirish", en: "Search" },
  nothingFound: { ru: "Ничего не найдено.", uz: "Hech narsa topilmadi.", en: "Nothing found." },
  today: { ru: "Сегодня", uz: "Bugun", en: "Today" },
  sum: { ru: "сум", uz: "so‘m", en: "sum" },
  refundsOwed: { ru: "К возврату", uz: "Qaytarilishi kerak", en: "Refunds due" },
  columns: {
    new: { ru: "Новые", uz: "Yangi", en: "New" },
    accepted: { ru: "Приняты", uz: "Qabul qilingan", en: "Accepted" },
    in_progress: { ru: "В пути / в работе", uz: "Bajarilmoqda", en: "In progress" },
  },
  stages: {
    new: { ru: "Новый", uz: "Yangi", en: "New" },
    accepted: { ru: "Принят", uz: "Qabul qilingan", en: "Accepted" },
    in_progress: { ru: "В пути / в работе", uz: "Bajarilmoqda", en: "In progress" },
    completed: { ru: "Выполнен", uz: "Bajarilgan", en: "Completed" },
    cancelled: { ru: "Отменён", uz: "Bekor qilingan", en: "Cancelled" },
  },
  /** Label before the number of orders in the stage. */
  totals: {
    completed: { ru: "Выполнено:", uz: "Bajarilgan:", en: "Completed:" },
    cancelled: { ru: "Отменено:", uz: "Bekor qilingan:", en: "Cancelled:" },
  },
  verbs: {
    accept: { ru: "Принять", uz: "Qabul qilish", en: "Accept" },
    start: { ru: "Мастер выехал", uz: "Usta yo‘lga chiqdi", en: "On the way" },
    complete: { ru: "Завершить", uz: "Yakunlash", en: "Complete" },
    cancel: { ru: "Отменить", uz: "Bekor qilish", en: "Cancel" },
    undo: { ru: "Отменить последний шаг", uz: "Oxirgi amalni bekor qilish", en: "Undo last step" },
    refund: { ru: "Отметить возврат", uz: "Qaytarilganini belgilash", en: "Mark as refunded" },
  },
  /** The button that submits the cancel form. */
  cancelOrder: { ru: "Отменить заказ", uz: "Buyurtmani bekor qilish", en: "Cancel the order" },
  /** The button that closes the cancel form. */
  keepOrder: { ru: "Не отменять", uz: "Bekor qilmaslik", en: "Keep it" },
  call: { ru: "Позвонить", uz: "Qo‘ng‘iroq", en: "Call" },
  dismiss: { ru: "Скрыть", uz: "Yopish", en: "Dismiss" },
  events: {
    accept: { ru: "Принят", uz: "Qabul qilindi", en: "Accepted" },
    start: { ru: "Мастер выехал", uz: "Usta yo‘lga chiqdi", en: "On the way" },
    complete: { ru: "Выполнен", uz: "Bajarildi", en: "Completed" },
    cancel: { ru: "Отменён", uz: "Bekor qilindi", en: "Cancelled" },
    undo: { ru: "Шаг отменён", uz: "Oxirgi amal bekor qilindi", en: "Step undone" },
    refund: { ru: "Деньги возвращены", uz: "Pul qaytarildi", en: "Refunded" },
    phone_shown: {
      ru: "Номер показан",
      uz: "Telefon raqami ko‘rsatildi",
      en: "Phone number shown",
    },
    settled: { ru: "Оплата подтверждена", uz: "To‘lov tasdiqlandi", en: "Payment confirmed" },
  },
  reasons: {
    customer: {
      ru: "Клиент передумал",
      uz: "Mijoz fikridan qaytdi",
      en: "Customer changed their mind",
    },
    no_answer: {
      ru: "Клиент не отвечает",
      uz: "Mijoz javob bermayapti",
      en: "Customer did not answer",
    },
    no_specialist: {
      ru: "Нет свободного мастера",
      uz: "Bo‘sh usta yo‘q",
      en: "No specialist available",
    },
    area: {
      ru: "Вне зоны обслуживания",
      uz: "Xizmat hududidan tashqarida",
      en: "Outside the service area",
    },
    duplicate: { ru: "Дубликат", uz: "Takroriy buyurtma", en: "Duplicate order" },
    other: { ru: "Другая причина", uz: "Boshqa sabab", en: "Other reason" },
  },
  refunds: {
    owed: { ru: "Деньги ещё не возвращены", uz: "Pul hali qaytarilmagan", en: "Not refunded yet" },
    given: { ru: "Деньги возвращены", uz: "Pul qaytarilgan", en: "Refunded" },
  },
  refund: { ru: "Возврат", uz: "Pulni qaytarish", en: "Refund" },
  refundHint: {
    ru: "Верните деньги в платёжной системе и впишите сюда номер возврата.",
    uz: "Pulni to‘lov tizimida qaytaring va qaytarish raqamini shu yerga yozing.",
    en: "Refund the customer at the payment provider, then enter the reference.",
  },
  noAddress: {
    ru: "Адрес не указан, уточните по телефону",
    uz: "Manzil ko‘rsatilmagan, telefonda aniqlang",
    en: "No address, ask by phone",
  },
  address: { ru: "Адрес", uz: "Manzil", en: "Address" },
  comment: { ru: "Комментарий", uz: "Izoh", en: "Comment" },
  customer: { ru: "Клиент", uz: "Mijoz", en: "Customer" },
  amount: { ru: "Сумма", uz: "Summa", en: "Amount" },
  reason: {
    ru: "Почему отменяется заказ?",
    uz: "Buyurtma nega bekor qilinmoqda?",
    en: "Why is the order being cancelled?",
  },
  note: { ru: "Примечание (необязательно)", uz: "Eslatma (ixtiyoriy)", en: "Note (optional)" },
  giveMoneyBack: {
    ru: "Вернуть деньги клиенту",
    uz: "Mijozga pulni qaytarish",
    en: "Refund the customer",
  },
  reference: {
    ru: "Номер возврата в платёжной системе",
    uz: "To‘lov tizimidagi qaytarish raqami",
    en: "Refund reference at the payment provider",
  },
  showPhone: { ru: "Показать номер", uz: "Raqamni ko‘rsatish", en: "Show the number" },
  history: { ru: "История", uz: "Tarix", en: "History" },
  paid: { ru: "Оплачен", uz: "To‘langan", en: "Paid" },
  order: { ru: "Заказ", uz: "Buyurtma", en: "Order" },
  toBoard: { ru: "К заказам", uz: "Buyurtmalarga qaytish", en: "Back to orders" },
  empty: {
    new: { ru: "Новых заказов нет", uz: "Yangi buyurtma yo‘q", en: "No new orders" },
    accepted: {
      ru: "Принятых заказов нет",
      uz: "Qabul qilingan buyurtma yo‘q",
      en: "No accepted orders",
    },
    in_progress: {
      ru: "Заказов в работе нет",
      uz: "Bajarilayotgan buyurtma yo‘q",
      en: "No orders in progress",
    },
  },
  /** How many orders of a longer column are shown. */
  shown: (shown: number, all: string) => ({
    ru: `Показано ${shown} из ${all}`,
    uz: `${all} tadan ${shown} tasi ko‘rsatilgan`,
    en: `${shown} of ${all} shown`,
  }),
  more: { ru: "Показать ещё", uz: "Yana ko‘rsatish", en: "Show more" },
  /** The pill for new orders outside the view; `#` stands for their number. */
  newBelow: { ru: "Новых: # ↓", uz: "Yangi: # ↓", en: "# new ↓" },
  day: { ru: "День", uz: "Kun", en: "Day" },
  time: { ru: "Время", uz: "Vaqt", en: "Time" },
  stage: { ru: "Статус", uz: "Holat", en: "Stage" },
  all: { ru: "Все", uz: "Hammasi", en: "All" },
  show: { ru: "Показать", uz: "Ko‘rsatish", en: "Show" },
  fourteenDays: { ru: "14 дней", uz: "14 kun", en: "14 days" },
  weekAgo: {
    ru: "Неделю назад к этому времени:",
    uz: "Bir hafta oldin shu vaqtga kelib:",
    en: "By this time a week ago:",
  },
  allOrders: { ru: "заказы", uz: "buyurtmalar", en: "orders" },
  cancelledOrders: { ru: "отменённые", uz: "bekor qilinganlari", en: "cancelled" },
  revenueBelow: { ru: "внизу — сумма", uz: "pastda — summa", en: "revenue below" },
  signIn: { ru: "Войти", uz: "Kirish", en: "Sign in" },
  signOut: { ru: "Выйти", uz: "Chiqish", en: "Sign out" },
  key: { ru: "Ваш ключ", uz: "Kalitingiz", en: "Your key" },
  showKey: { ru: "Показать", uz: "Ko‘rsatish", en: "Show" },
  linkHint: {
    ru: "Вместо ключа можно войти по ссылке: попросите её у руководителя.",
    uz: "Kalit o‘rniga havola orqali ham kirish mumkin: uni rahbardan so‘rang.",
    en: "You can sign in with a link instead: ask your manager for one.",
  },
  /** The button on the page of a sign-in link. */
  signInAs: (who: Content) => ({
    ru: html`Войти как ${who}`,
    uz: html`${who} sifatida kirish`,
    en: html`Sign in as ${who}`,
  }),
  signInWithKey: { ru: "Войти с ключом", uz: "Kalit bilan kirish", en: "Sign in with a key" },
  deadLink: {
    ru: "Ссылка уже использована или устарела. Попросите новую или войдите с ключом.",
    uz: "Havola ishlatilgan yoki muddati o‘tgan. Yangisini so‘rang yoki kalit bilan kiring.",
    en: "This link was already used or has expired. Ask for a new one, or use your key.",
  },
  wrongKey: { ru: "Неверный ключ.", uz: "Kalit noto‘g‘ri.", en: "Wrong key." },
  tooManyKeys: {
    ru: "Слишком много попыток. Подождите минуту.",
    uz: "Urinishlar juda ko‘p. Bir daqiqa kuting.",
    en: "Too many attempts. Wait a minute.",
  },
  changedTitle: {
    ru: "Заказ уже изменён",
    uz: "Buyurtma allaqachon o‘zgargan",
    en: "The order has already changed",
  },
  /** The change that another dispatcher made first. */
  changed: (what: string, who: Content, when: string) => ({
    ru: html`${what}: ${who}, ${when}. Ваше изменение не сохранено.`,
    uz: html`${what}: ${who}, ${when}. O‘zgarishingiz saqlanmadi.`,
    en: html`${what}: ${who}, ${when}. Your change was not saved.`,
  }),
  /** After a form of a page that was shown to another dispatcher. */
  otherViewer: (who: Content) => ({
    ru: html`Сейчас в этом браузере работает ${who}. Ваше изменение не сохранено: войдите заново.`,
    uz: html`Hozir bu brauzerda ${who} ishlamoqda. O‘zgarishingiz saqlanmadi: qaytadan kiring.`,
    en: html`${who} is signed in to this browser now. Your change was not saved: sign in again.`,
  }),
  noSuchStep: {
    ru: "Сейчас это действие недоступно. Ничего не изменилось.",
    uz: "Bu amalni hozir bajarib bo‘lmaydi. Hech narsa o‘zgarmadi.",
    en: "This action is no longer available. Nothing has changed.",
  },
  notDone: { ru: "Не получилось", uz: "Bajarilmadi", en: "That did not work" },
  tryAgain: { ru: "Попробовать ещё раз", uz: "Qayta urinish", en: "Try again" },
  /** Reasons for refusing a request. */
  refusals: {
    invalid_host: {
      ru: "По этому адресу сервис не открывается. Проверьте адрес в строке браузера.",
      uz: "Xizmat bu manzilda ochilmaydi. Brauzerdagi manzilni tekshiring.",
      en: "The board is not available at this address. Check the address in your browser.",
    },
    not_found: { ru: "Такой страницы нет.", uz: "Bunday sahifa yo‘q.", en: "Page not found." },
    method_not_allowed: {
      ru: "Эту страницу нельзя открыть по ссылке.",
      uz: "Bu sahifani havola orqali ochib bo‘lmaydi.",
      en: "This page can't be opened from a link.",
    },
    unsupported_media_type: {
      ru: "Сервис не понял запрос. Ничего не изменилось.",
      uz: "Xizmat so‘rovni tushunmadi. Hech narsa o‘zgarmadi.",
      en: "The service did not understand the request. Nothing has changed.",
    },
    body_too_large: {
      ru: "Слишком длинный текст. Ничего не изменилось.",
      uz: "Matn juda uzun. Hech narsa o‘zgarmadi.",
      en: "The text is too long. Nothing has changed.",
    },
    internal_error: {
      ru: "Произошла ошибка. Попробуйте ещё раз.",
      uz: "Xatolik yuz berdi. Qayta urinib ko‘ring.",
      en: "Something went wrong. Try again.",
    },
    unavailable: {
      ru: "Сейчас не удаётся сохранить данные. Попробуйте ещё раз.",
      uz: "Hozir ma’lumotlarni saqlab bo‘lmayapti. Qayta urinib ko‘ring.",
      en: "Data can't be saved right now. Try again.",
    },
    foreign_form: {
      ru: "Запрос пришёл с другого сайта и отклонён. Ничего не изменилось.",
      uz: "So‘rov boshqa saytdan kelgan va rad etildi. Hech narsa o‘zgarmadi.",
      en: "The request came from another site and was refused. Nothing has changed.",
    },
    invalid_form: {
      ru: "Запрос повреждён. Ничего не изменилось.",
      uz: "So‘rov buzilgan. Hech narsa o‘zgarmadi.",
      en: "The form data is invalid. Nothing has changed.",
    },
    invalid_text: {
      ru: "Текст пустой, слишком длинный или содержит недопустимые символы. Исправьте его.",
      uz: "Matn bo‘sh, juda uzun yoki unda ruxsat etilmagan belgilar bor. Uni tuzating.",
      en: "The text is blank, too long or contains invalid characters. Please correct it.",
    },
    no_session: {
      ru: "Войдите, чтобы продолжить.",
      uz: "Davom etish uchun tizimga kiring.",
      en: "Sign in to continue.",
    },
  },
  /** Where to sign in if the browser drops the cookie at this address. */
  signInAt: (address: Content) => ({
    ru: html`Входите по адресу ${address}. По другим адресам браузер может не запомнить вход.`,
    uz: html`Kirish manzili: ${address}. Boshqa manzilda brauzer kirishni eslab qolmasligi mumkin.`,
    en: html`Sign in at ${address}. At other addresses the browser may not keep you signed in.`,
  }),
  notFound: { ru: "Такого заказа нет.", uz: "Bunday buyurtma yo‘q.", en: "Order not found." },
  connected: { ru: "На связи", uz: "Onlayn", en: "Online" },
  connecting: { ru: "Подключение…", uz: "Ulanmoqda…", en: "Connecting…" },
  offline: { ru: "Нет связи", uz: "Aloqa yo‘q", en: "Offline" },
  /** Shown beside a form whose change was not confirmed. */
  notSaved: {
    ru: "Не сохранено. Попробуйте ещё раз.",
    uz: "Saqlanmadi. Qayta urinib ko‘ring.",
    en: "Not saved. Try again.",
  },
  /** Shown beside a search that got no answer. */
  noAnswer: {
    ru: "Нет ответа. Попробуйте ещё раз.",
    uz: "Javob yo‘q. Qayta urinib ko‘ring.",
    en: "No answer. Try again.",
  },
  sound: { ru: "Звук новых заказов", uz: "Yangi buyurtmalar ovozi", en: "Sound for new orders" },
  soundBlocked: {
    ru: "Браузер отключил звук.",
    uz: "Brauzer ovozni o‘chirib qo‘ydi.",
    en: "The browser has muted the sound.",
  },
  turnSoundOn: { ru: "Включить звук", uz: "Ovozni yoqish", en: "Turn sound on" },
  keys: {
    ru: "Клавиши: J K — выбор, Enter — открыть, A — следующий шаг, / — поиск",
    uz: "Tugmalar: J K — tanlash, Enter — ochish, A — keyingi qadam, / — qidirish",
    en: "Keys: J/K to select, Enter to open, A for the next step, / to search",
  },
  skip: { ru: "К содержанию", uz: "Asosiy qismga o‘tish", en: "Skip to content" },
  justNow: { ru: "только что", uz: "hozirgina", en: "just now" },
  minutes: { ru: "мин", uz: "daq.", en: "min" },
  hours: { ru: "ч", uz: "soat", en: "h" },
  daysAgo: { ru: "дн.", uz: "kun", en: "d" },
  orders: {
    ru: plural("ru", { one: "заказ", few: "заказа", many: "заказов", other: "заказа" }),
    uz: plural("uz", { other: "buyurtma" }),
    en: plural("en", { one: "order", other: "orders" }),
  },
} satisfies Labels;

type Text = string | Html | ((count: number) => string);

/** A text in every language. */
type Label = Readonly<Record<Language, Text>>;

interface Labels {
  readonly [name: string]: Label | Labels | ((...values: never[]) => Label);
}

/** Labels in one language. */
type Translated<Value> =
  Value extends Readonly<Record<Language, infer One>>
    ? One
    : Value extends (...values: infer Values) => Readonly<Record<Language, infer One>>
      ? (...values: Values) => One
      : { readonly [Name in keyof Value]: Translated<Value[Name]> };

export type Translations = Translated<typeof LABELS>;

export const TRANSLATIONS: Readonly<Record<Language, Translations>> = {
  ru: translate(LABELS, "ru"),
  uz: translate(LABELS, "uz"),
  en: translate(LABELS, "en"),
};

function translate<Group extends Labels>(labels: Group, language: Language): Translated<Group> {
  const translated = Object.entries(labels).map(([name, value]) => {
    if (typeof value === "function") {
      return [name, (...values: never[]) => value(...values)[language]];
    }
    return [name, isLabel(value) ? value[language] : translate(value, language)];
  });
  // `as`: `Object.fromEntries` forgets the names.
  return Object.fromEntries(translated) as Translated<Group>;
}

function isLabel(value: Label | Labels): value is Label {
  return LANGUAGES.every((language) => language in value);
}

export type RefusalCode = keyof Translations["refusals"];

/** Returns whether the board has a text for this reason. */
export function isRefusal(code: string): code is RefusalCode {
  return Object.hasOwn(LABELS.refusals, code);
}

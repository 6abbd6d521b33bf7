import { parsePhoneNumberFromString } from "libphonenumber-js/min";

/** A phone number in E.164 form: a plus, the country code, the national number, digits only. */
export type PhoneNumber = string & { readonly brand: unique symbol };

/** Direction marks and the like, which come along when a number is pasted from a phone's contacts. */
const INVISIBLE = /\p{Cf}/gu;

/** The national number of a bare Uzbek one, as Telegram gives it, and in it the code of its network. */
const BARE_UZBEK = /^(?:\+?998)?((\d\d)\d{7})$/;

/** A bare number of at most this many digits is Uzbek or invalid: with a digit too few it is not foreign. */
const UZBEK_DIGITS = 9;

/**
 * Reads a phone number as people and Telegram write it. Up to nine bare digits are an Uzbek number;
 * other countries' numbers have their country code, after `+`, `00` or nothing. All spellings of one
 * number give one result. Returns undefined if the text is not a number, or more than a number.
 */
export function parsePhoneNumber(text: string): PhoneNumber | undefined {
  const [, national, network] = BARE_UZBEK.exec(text) ?? [];
  // `as`: with a network's code before them, any seven digits make a number.
  if (network !== undefined && isNetwork(network)) return `+998${national}` as PhoneNumber;
  const visible = text.replace(INVISIBLE, "").trim();
  const digits = visible.match(/\p{Nd}/gu)?.length ?? 0;
  return parse(visible) ?? (digits > UZBEK_DIGITS ? parse(`+${visible}`) : undefined);
}

const networks = new Map<string, boolean>();

/** Whether the library knows the code: asked once for each, for that takes 8 µs of some 40 for a registration. */
function isNetwork(code: string): boolean {
  let known = networks.get(code);
  if (known === undefined) {
    known = parse(`+998${code}0000000`) !== undefined;
    networks.set(code, known);
  }
  return known;
}

function parse(text: string): PhoneNumber | undefined {
  const parsed = parsePhoneNumberFromString(text, { defaultCountry: "UZ", extract: false });
  if (parsed === undefined || !parsed.isValid()) return undefined;
  // An extension or a parameter (RFC 3966) is more than a number.
  if (parsed.ext !== undefined || text.includes(";")) return undefined;
  // `as`: the library's `number` is E.164 by its own promise.
  return parsed.number as string as PhoneNumber;
}

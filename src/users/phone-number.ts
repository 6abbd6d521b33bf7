import { parsePhoneNumberFromString } from "libphonenumber-js/min";

/** A phone number in E.164 form: a plus, the country code, the national number, digits only. */
export type PhoneNumber = string & { readonly brand: unique symbol };

/** Direction marks and the like, which come along when a number is pasted from a phone's contacts. */
const INVISIBLE = /\p{Cf}/gu;

/** The national number of a bare Uzbek one, as Telegram gives it, and in it the code of its network. */
const BARE_UZBEK = /^(?:\+?998)?((\d\d)\d{7})$/;

/**
 * Reads a phone number as people and Telegram write it: nine digits are Uzbek, other countries' numbers
 * have their country code, with `+`, `00` or nothing before it. All spellings of one number give one
 * result; undefined where the text is no number, or is more than a number.
 */
export function parsePhoneNumber(text: string): PhoneNumber | undefined {
  const [, national, network] = BARE_UZBEK.exec(text) ?? [];
  // `as`: with a network's code before them, any seven digits make a number.
  if (network !== undefined && isNetwork(network)) return `+998${national}` as PhoneNumber;
  const visible = text.replace(INVISIBLE, "").trim();
  return parse(visible) ?? parse(`+${visible}`);
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

import { parsePhoneNumberFromString } from "libphonenumber-js/min";

/** A phone number in E.164 form: a plus, the country code, the national number, digits only. */
export type PhoneNumber = string & { readonly brand: unique symbol };

/**
 * Reads a phone number as people and Telegram write it: nine digits are Uzbek, other countries' numbers
 * have their country code, with `+`, `00` or nothing before it. All spellings of one number give one
 * result; undefined where the text is no number, or is more than a number.
 */
export function parsePhoneNumber(text: string): PhoneNumber | undefined {
  const trimmed = text.trim();
  return parse(trimmed) ?? parse(`+${trimmed}`);
}

function parse(text: string): PhoneNumber | undefined {
  const parsed = parsePhoneNumberFromString(text, { defaultCountry: "UZ", extract: false });
  if (parsed === undefined || !parsed.isValid() || parsed.ext !== undefined) return undefined;
  // `as`: the library's `number` is E.164 by its own promise.
  return parsed.number as string as PhoneNumber;
}

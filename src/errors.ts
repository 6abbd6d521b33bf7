/** The store is unavailable, for example because the disk is full. The call stored nothing. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** The service can't listen. The message is a sentence for the owner. */
export class AddressUnavailable extends Error {
  override readonly name = "AddressUnavailable";
}

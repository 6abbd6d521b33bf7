/** Error codes of the API. Clients rely on them. */
export type ErrorCode =
  | "invalid_json"
  | "invalid_idempotency_key"
  | "invalid_host"
  | "missing_api_key"
  | "invalid_api_key"
  | "payment_declined"
  | "not_found"
  | "user_not_found"
  | "tariff_not_found"
  | "order_not_found"
  | "method_not_allowed"
  | "body_too_large"
  | "unsupported_media_type"
  | "validation_failed"
  | "invalid_phone_number"
  | "idempotency_key_reused"
  | "too_many_orders"
  | "internal_error"
  | "unavailable";

/** The store is unavailable, for example because the disk is full. The call stored nothing. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** The service can't listen. The message is a sentence for the owner. */
export class AddressUnavailable extends Error {
  override readonly name = "AddressUnavailable";
}

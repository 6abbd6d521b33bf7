-- Requests for wrk: orders by all users in turn, keyed orders by random users, or registrations of
-- new phone numbers. Arguments: endpoint, then the number of users or the first new phone number.
local endpoint, count, keyed
local n = 0

init = function(args)
  endpoint, count = args[1]:match("^(%S+)"), tonumber(args[2])
  keyed = args[1]:match(" keyed$") ~= nil
  math.randomseed(os.time())
  wrk.headers["Content-Type"] = "application/json"
end

request = function()
  n = n + 1
  if endpoint == "/register" then
    return wrk.format("POST", endpoint, nil, '{"phone_number":"+9989' .. string.format("%08d", count + n) .. '"}')
  end
  if keyed then
    -- Looks like a random UUID; the counter makes it unique.
    local key = string.format("%08x-%04x-%04x-%012x", math.random(0, 0x7fffffff), math.random(0, 0xffff),
      math.random(0, 0xffff), n)
    return wrk.format("POST", endpoint, { ["Content-Type"] = "application/json", ["Idempotency-Key"] = key },
      '{"user_id":' .. math.random(1, count) .. ',"tariff_code":"standard_300"}')
  end
  local user = n % count + 1
  return wrk.format("POST", endpoint, nil, '{"user_id":' .. user .. ',"tariff_code":"standard_300"}')
end

-- Parsed by load.ts: requests, duration in µs, errors, p50 and p99 in µs.
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  if failed > 0 then
    print(string.format("Failed: %d connects, %d reads, %d writes, %d statuses, %d timeouts", errors.connect,
      errors.read, errors.write, errors.status, errors.timeout))
  end
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end

-- wrk sends each line of a file once, as the body of a POST: wrk … URL -- FILE SECRET THREADS
require "summary"

local threads = 0

function setup(thread)
  thread:set("mine", threads)
  threads = threads + 1
end

function init(arguments)
  local of = tonumber(arguments[3])
  local number = 0
  requests, sent = {}, 0
  -- Made before the time is taken: what the load costs is not to count as ours, or as the peer's.
  for line in io.lines(arguments[1]) do
    if number % of == mine then
      requests[#requests + 1] = wrk.format("POST", nil, {
        ["Content-Type"] = "application/json",
        ["Authorization"] = "Bearer " .. arguments[2],
        -- A single submission has its key in a header, a batch in each of its items.
        ["Idempotency-Key"] = line:match('^{"contact".-"idempotency_key":"([^"]+)"'),
      }, line)
    end
    number = number + 1
  end
end

function request()
  sent = sent + 1
  if requests[sent] == nil then
    wrk.thread:stop()
    return requests[#requests]
  end
  return requests[sent]
end

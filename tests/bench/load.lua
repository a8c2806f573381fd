-- wrk sends each line of a file once, as the body of a POST: wrk … URL -- FILE SECRET THREADS
require "summary"

local threads = 0

function setup(thread)
  thread:set("mine", threads)
  threads = threads + 1
end

function init(arguments)
  local of = tonumber(arguments[3])
  lines, sent = {}, 0
  local number = 0
  for line in io.lines(arguments[1]) do
    if number % of == mine then
      lines[#lines + 1] = line
    end
    number = number + 1
  end
  headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. arguments[2],
  }
end

function request()
  sent = sent + 1
  local line = lines[sent]
  if line == nil then
    wrk.thread:stop()
    line = lines[#lines]
  end
  -- A single submission has its key in a header, a batch in each of its items.
  headers["Idempotency-Key"] = line:match('^{"contact".-"idempotency_key":"([^"]+)"')
  return wrk.format("POST", nil, headers, line)
end

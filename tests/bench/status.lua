-- wrk asks for the state of a request of each line of a file, again and again: wrk … URL -- FILE
require "summary"

function init(arguments)
  asked, sent = {}, 0
  for line in io.lines(arguments[1]) do
    local number, token = line:match("^(%d+) (%S+)$")
    asked[#asked + 1] = wrk.format("GET", wrk.path .. "/" .. number, { ["Authorization"] = "Bearer " .. token })
  end
end

function request()
  sent = sent % #asked + 1
  return asked[sent]
end

-- What a load came to, as one line of JSON; for every script of wrk that is run in this folder.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("{\"requests\": %d, \"microseconds\": %d, \"refused\": %d, \"broken\": %d, \"p50\": %d, \"p99\": %d}\n",
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end

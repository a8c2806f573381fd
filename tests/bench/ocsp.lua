-- One OCSP request by POST over and over: OCSP_REQUEST=FILE wrk … URL
require "summary"

local file = assert(io.open(os.getenv("OCSP_REQUEST"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/ocsp-request"
file:close()

-- One OCSP request by POST over and over, for wrk: OCSP_REQUEST names the file.
-- openssl ocsp -issuer issuing.crt.pem -serial 0x… -no_nonce -reqout request
-- OCSP_REQUEST=request wrk --threads 2 --connections 64 --duration 10s --script tests/bench/ocsp.lua http://…/api/v1/ca/ocsp
local file = assert(io.open(os.getenv("OCSP_REQUEST"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/ocsp-request"
file:close()

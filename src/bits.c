/*
 * Reads bits of a request. src/bits.rs says why that is done in C.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


ngx_uint_t
tblb_request_reading_body(const ngx_http_request_t *r)
{
    return r->reading_body;
}


ngx_uint_t
tblb_request_header_only(const ngx_http_request_t *r)
{
    return r->header_only;
}

#include "serve/page.h"

namespace looplm {
namespace {

const char* media_type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return "image/svg+xml";
}

// Besides loading from this server alone, the page has given up making elements out of text:
// require-trusted-types-for turns every innerHTML into an error.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace

std::string page_path(std::string_view name) {
  return name == "index.html" ? "/" : "/page/" + std::string(name);
}

void send_page_file(const EmbeddedFile& file, HttpReply& reply) {
  reply.send(200,
             {{"Content-Type", media_type_of(file.name)},
              {"Content-Security-Policy", kPolicy},
              {"X-Content-Type-Options", "nosniff"},
              {"Referrer-Policy", "no-referrer"},
              {"Cache-Control", "no-cache"}},
             std::string(file.bytes));
}

}  // namespace looplm

// The web page that the server shows to a browser: files of src/serve/page, compiled in.
#ifndef LOOPLM_SERVE_PAGE_H_
#define LOOPLM_SERVE_PAGE_H_

#include <string>
#include <string_view>

#include "base/embedded_file.h"
#include "net/http_server.h"

namespace looplm {

std::span<const EmbeddedFile> page_files();

// Where a file of the page stands on the server: "/" for index.html, "/page/NAME" for the others.
std::string page_path(std::string_view name);

// Answers with it. The headers keep a browser from loading or running anything from elsewhere.
void send_page_file(const EmbeddedFile& file, HttpReply& reply);

}  // namespace looplm

#endif  // LOOPLM_SERVE_PAGE_H_

// A file that was compiled into the program (cmake/embed.cmake).
#ifndef LOOPLM_BASE_EMBEDDED_FILE_H_
#define LOOPLM_BASE_EMBEDDED_FILE_H_

#include <span>
#include <string_view>

namespace looplm {

struct EmbeddedFile {
  std::string_view name;  // "index.html"
  std::string_view bytes;
};

}  // namespace looplm

#endif  // LOOPLM_BASE_EMBEDDED_FILE_H_
